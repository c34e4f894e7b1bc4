//! An expression that has been parsed, and what it says of a message.
//!
//! The one idea to know: the logic has three values. A property that a message lacks, or that cannot be what it is
//! compared with, makes a comparison *unknown*; NOT of unknown is unknown, and only what is true is delivered.

use crate::{Message, well_known};
use bytestring::ByteString;
use std::borrow::Cow;
use std::cmp::Ordering;

/// True, false, or unknown (`None`).
pub(super) type Truth = Option<bool>;

/// Something that is true, false or unknown of a message.
#[derive(Debug)]
pub(super) enum Condition {
    Or(Vec<Condition>),
    And(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Operand, Comparison, Operand),
    In(Property, Vec<ByteString>),
    Missing(Property),
    Text(Property, TextTest),
    /// A value on its own: TRUE, FALSE, NULL, or a property that says one of them.
    Value(Operand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Property(Property),
    Text(ByteString),
    Number(Number),
    Boolean(bool),
    Null,
    Negative(Box<Operand>),
    Arithmetic(Box<(Operand, Operator, Operand)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Debug)]
pub(super) enum TextTest {
    Like(Vec<Wildcard>),
    Contains(ByteString),
    StartsWith(ByteString),
    EndsWith(ByteString),
}

/// One place of a LIKE pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcard {
    This(char),
    AnyOne,
    AnyMany,
}

/// What an identifier names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Property {
    Tag,
    Keys,
    Id,
    OrderingGroup,
    Born,
    Header(ByteString),
}

impl Property {
    fn of<'a>(&self, message: &'a Message) -> Option<Cow<'a, str>> {
        match self {
            Self::Tag => message.tag.as_deref().map(Cow::from),
            Self::Keys => (!message.keys.is_empty()).then(|| Cow::from(&message.keys.as_text()[..])),
            Self::Id => (!message.id.is_empty()).then(|| Cow::from(message.id.to_string())),
            Self::OrderingGroup => message.ordering_group.as_deref().map(Cow::from),
            Self::Born => Some(Cow::from(message.born.to_string())),
            Self::Header(name) => message.headers.text(name).map(Cow::from),
        }
    }

    /// By the names that RocketMQ's clients use.
    pub(super) fn of_rocketmq(name: &str) -> Self {
        match name {
            "TAGS" => Self::Tag,
            "KEYS" => Self::Keys,
            "UNIQ_KEY" => Self::Id,
            "__SHARDINGKEY" => Self::OrderingGroup,
            "CORRELATION_ID" => Self::Header(well_known::CORRELATION_ID.into()),
            other => Self::Header(other.into()),
        }
    }

    /// By the names of JMS, else a header's.
    pub(super) fn of_jms(name: &str) -> Self {
        match name {
            "TAGS" | "tag" | "JMSType" => Self::Tag,
            "KEYS" | "keys" => Self::Keys,
            "UNIQ_KEY" | "message-id" | "JMSMessageID" => Self::Id,
            "message-group" | "JMSXGroupID" => Self::OrderingGroup,
            "JMSTimestamp" => Self::Born,
            "JMSCorrelationID" => Self::Header(well_known::CORRELATION_ID.into()),
            "JMSReplyTo" => Self::Header(well_known::REPLY_TO.into()),
            "JMSPriority" => Self::Header("priority".into()),
            other => Self::Header(other.into()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    Decimal(f64),
}

impl Number {
    /// What a text says, if it is a number: numbers are compared as numbers, whatever their spelling.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse() {
            return Some(Self::Integer(number));
        }
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        let number: f64 = text.parse().ok().filter(|n: &f64| plain && n.is_finite())?;
        Some(Self::Decimal(number))
    }

    fn as_decimal(self) -> f64 {
        match self {
            Self::Integer(n) => n as f64,
            Self::Decimal(n) => n,
        }
    }

    fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (a, b) => a.as_decimal().partial_cmp(&b.as_decimal()),
        }
    }

    /// Integers stay integers while the result fits; what is no number (a division by zero) is unknown.
    fn combine(self, operator: Operator, other: Self) -> Option<Self> {
        if let (Self::Integer(a), Self::Integer(b)) = (self, other) {
            let exact = match operator {
                Operator::Add => a.checked_add(b),
                Operator::Subtract => a.checked_sub(b),
                Operator::Multiply => a.checked_mul(b),
                Operator::Divide if b == 0 => return None,
                Operator::Divide => a.checked_div(b),
            };
            if let Some(exact) = exact {
                return Some(Self::Integer(exact));
            }
        }
        let (a, b) = (self.as_decimal(), other.as_decimal());
        let result = match operator {
            Operator::Add => a + b,
            Operator::Subtract => a - b,
            Operator::Multiply => a * b,
            Operator::Divide => a / b,
        };
        result.is_finite().then_some(Self::Decimal(result))
    }
}

/// A value at the moment of evaluation. What a property says has no type until it meets another value.
enum Value<'a> {
    Said(Cow<'a, str>),
    Text(&'a str),
    Number(Number),
    Boolean(bool),
}

impl Value<'_> {
    fn as_number(&self) -> Option<Number> {
        match self {
            Self::Said(text) => Number::read(text),
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::Boolean(_) => None,
        }
    }

    fn as_boolean(&self) -> Truth {
        match self {
            Self::Said(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Said(text) if text.eq_ignore_ascii_case("false") => Some(false),
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Said(text) => Some(text),
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Boolean(_) => None,
        }
    }
}

impl Operand {
    fn of<'a>(&'a self, message: &'a Message) -> Option<Value<'a>> {
        match self {
            Self::Property(property) => property.of(message).map(Value::Said),
            Self::Text(text) => Some(Value::Text(text)),
            Self::Number(number) => Some(Value::Number(*number)),
            Self::Boolean(value) => Some(Value::Boolean(*value)),
            Self::Null => None,
            Self::Negative(operand) => {
                let number = operand.of(message)?.as_number()?;
                Number::Integer(0).combine(Operator::Subtract, number).map(Value::Number)
            }
            Self::Arithmetic(parts) => {
                let (left, operator, right) = &**parts;
                let left = left.of(message)?.as_number()?;
                left.combine(*operator, right.of(message)?.as_number()?).map(Value::Number)
            }
        }
    }
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// True for `=` and `<>`, the only ones for text and truth values.
    pub(super) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    fn of(self, left: &Value<'_>, right: &Value<'_>) -> Truth {
        use Value::{Boolean, Number, Said, Text};
        match (left, right) {
            (Number(_), _) | (_, Number(_)) => Some(self.holds(left.as_number()?.order(right.as_number()?)?)),
            (Boolean(_), _) | (_, Boolean(_)) => {
                let (left, right) = (left.as_boolean()?, right.as_boolean()?);
                self.is_equality().then(|| self.holds(left.cmp(&right)))
            }
            (Text(_) | Said(_), Text(_) | Said(_)) if self.is_equality() => {
                Some(self.holds(left.as_text()?.cmp(right.as_text()?)))
            }
            (Said(_), Said(_)) => Some(self.holds(left.as_number()?.order(right.as_number()?)?)),
            (Text(_), _) | (_, Text(_)) => None,
        }
    }
}

impl Condition {
    /// What is said of the message. Recursion is as deep as the parser allows.
    pub(super) fn of(&self, message: &Message) -> Truth {
        match self {
            Self::Or(all) => {
                let mut result = Some(false);
                for condition in all {
                    match condition.of(message) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => result = None,
                    }
                }
                result
            }
            Self::And(all) => {
                let mut result = Some(true);
                for condition in all {
                    match condition.of(message) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => result = None,
                    }
                }
                result
            }
            Self::Not(condition) => condition.of(message).map(|truth| !truth),
            Self::Compare(left, comparison, right) => comparison.of(&left.of(message)?, &right.of(message)?),
            Self::In(property, texts) => {
                let said = property.of(message)?;
                Some(texts.iter().any(|text| **text == *said))
            }
            Self::Missing(property) => Some(property.of(message).is_none()),
            Self::Text(property, test) => Some(test.passes(&property.of(message)?)),
            Self::Value(operand) => match operand.of(message)? {
                // Text that is no truth value is not true; so it is in stock brokers.
                Value::Said(text) => Some(text.eq_ignore_ascii_case("true")),
                value => value.as_boolean(),
            },
        }
    }
}

impl TextTest {
    fn passes(&self, text: &str) -> bool {
        match self {
            Self::Like(pattern) => is_like(text, pattern),
            Self::Contains(part) => text.contains(&part[..]),
            Self::StartsWith(part) => text.starts_with(&part[..]),
            Self::EndsWith(part) => text.ends_with(&part[..]),
        }
    }
}

/// Goes back only to the last `%`: at most text × pattern steps.
fn is_like(text: &str, pattern: &[Wildcard]) -> bool {
    let (mut rest, mut at) = (text.chars(), 0);
    let mut retry: Option<(std::str::Chars<'_>, usize)> = None;
    loop {
        let before = rest.clone();
        let next = rest.next();
        match (pattern.get(at), next) {
            (None, None) => return true,
            (Some(Wildcard::AnyMany), _) => {
                at += 1;
                retry = Some((before.clone(), at));
                rest = before;
                continue;
            }
            (Some(Wildcard::AnyOne), Some(_)) => {
                at += 1;
                continue;
            }
            (Some(Wildcard::This(wanted)), Some(found)) if *wanted == found => {
                at += 1;
                continue;
            }
            _ => {}
        }
        // The last `%` takes one character more.
        let Some((from, pattern_from)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        (rest, at) = (from.clone(), *pattern_from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_backtracks() {
        use Wildcard::{AnyMany, AnyOne, This};
        for (text, pattern, like) in [
            ("", &[][..], true),
            ("a", &[], false),
            ("", &[AnyMany], true),
            ("abc", &[AnyMany, This('c')], true),
            ("abcc", &[AnyMany, This('c')], true),
            ("aXbXc", &[This('a'), AnyMany, This('X'), This('c')], true),
            ("aXbXd", &[This('a'), AnyMany, This('X'), This('c')], false),
            ("日本", &[AnyOne, AnyOne], true),
            ("日本", &[AnyOne], false),
            ("ab", &[AnyMany, AnyMany, This('b'), AnyMany], true),
        ] {
            assert_eq!(is_like(text, pattern), like, "{text:?} {pattern:?}");
        }
    }

    #[test]
    fn texts_that_are_numbers() {
        for (text, number) in [
            ("5", Some(5.0)),
            ("-5", Some(-5.0)),
            ("+5", Some(5.0)),
            (" 5 ", Some(5.0)),
            ("5.50", Some(5.5)),
            ("1e3", Some(1000.0)),
            ("inf", None),
            ("NaN", None),
            ("0x10", None),
            ("", None),
            ("5 6", None),
        ] {
            assert_eq!(Number::read(text).map(Number::as_decimal), number, "{text:?}");
        }
    }
}
