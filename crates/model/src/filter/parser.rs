//! The grammar: tokens to a condition, by recursive descent, so that each fault can say what was expected and where.
//!
//! ```text
//! or      := and (OR and)*              and     := not (AND not)*           not := NOT not | test
//! test    := sum [ (= | <> | < | <= | > | >=) sum | [NOT] BETWEEN sum AND sum | IS [NOT] NULL
//!                | [NOT] IN ('text', …) | [NOT] LIKE 'pattern' [ESCAPE 'c']
//!                | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) 'text' ]
//! sum     := product ((+ | -) product)*   product := unary ((* | /) unary)*   unary := (+ | -) unary | primary
//! primary := 'text' | number | TRUE | FALSE | NULL | identifier | ( or )
//! ```

use super::Dialect;
use super::expression::{Comparison, Condition, Number, Operand, Operator, Property, TextTest, Wildcard};
use super::lexer::{Located, Token, tokens};
use bytestring::ByteString;

/// How deep parentheses, NOTs and signs may nest: parsing and evaluating go as deep.
const MAX_DEPTH: usize = 64;
/// The most operators of arithmetic, which nest too.
const MAX_ARITHMETIC: usize = 64;
/// The longest LIKE pattern in characters: matching costs text times pattern.
const MAX_PATTERN: usize = 256;

const KEYWORDS: [&str; 14] = [
    "AND",
    "OR",
    "NOT",
    "BETWEEN",
    "IN",
    "IS",
    "NULL",
    "LIKE",
    "ESCAPE",
    "TRUE",
    "FALSE",
    "CONTAINS",
    "STARTSWITH",
    "ENDSWITH",
];

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// In characters, from 1.
    pub(super) column: usize,
    pub(super) what: String,
}

impl Fault {
    pub(super) fn new(column: usize, what: impl Into<String>) -> Self {
        Self { column, what: what.into() }
    }
}

type Result<T> = std::result::Result<T, Fault>;

/// Parses a whole expression.
pub(super) fn parse(expression: &str, dialect: Dialect) -> Result<Condition> {
    let mut parser = Parser { tokens: tokens(expression)?, at: 0, depth: 0, arithmetic: 0, dialect };
    let start = parser.column();
    let parsed = parser.or()?;
    if *parser.peek() != Token::End {
        return Err(parser.expected("AND, OR or the end"));
    }
    parsed.condition(start)
}

/// What has been read: a value, or something that is true or false already.
enum Parsed {
    Value(Operand),
    Test(Condition),
}

impl Parsed {
    fn condition(self, column: usize) -> Result<Condition> {
        match self {
            Self::Test(condition) => Ok(condition),
            Self::Value(value @ (Operand::Property(_) | Operand::Boolean(_) | Operand::Null)) => {
                Ok(Condition::Value(value))
            }
            Self::Value(_) => Err(Fault::new(column, "a condition is expected here, not a value")),
        }
    }

    fn value(self, column: usize) -> Result<Operand> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Test(_) => Err(Fault::new(column, "a value is expected here, not a condition")),
        }
    }
}

struct Parser {
    tokens: Vec<Located>,
    at: usize,
    depth: usize,
    arithmetic: usize,
    dialect: Dialect,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |t| &t.token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |t| t.column)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// Takes the keyword if it is next.
    fn keyword(&mut self, keyword: &str) -> bool {
        let here = matches!(self.peek(), Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(here);
        here
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let here = matches!(self.peek(), Token::Symbol(s) if *s == symbol);
        self.at += usize::from(here);
        here
    }

    fn expected(&self, what: &str) -> Fault {
        let found = match self.peek() {
            Token::Word(word) => format!("{word:?}"),
            Token::Quoted(name) => format!("{name:?} in double quotes"),
            Token::Text(text) => format!("'{text}'"),
            Token::Integer(number) => number.to_string(),
            Token::Decimal(number) => number.to_string(),
            Token::Symbol(symbol) => format!("{symbol:?}"),
            Token::End => "the end".into(),
        };
        Fault::new(self.column(), format!("expected {what}, found {found}"))
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(self.column(), format!("nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn or(&mut self) -> Result<Parsed> {
        self.chain("OR", Self::and, Condition::Or)
    }

    fn and(&mut self) -> Result<Parsed> {
        self.chain("AND", Self::not, Condition::And)
    }

    fn chain(
        &mut self,
        keyword: &str,
        part: fn(&mut Self) -> Result<Parsed>,
        whole: fn(Vec<Condition>) -> Condition,
    ) -> Result<Parsed> {
        let column = self.column();
        let first = part(self)?;
        if !matches!(self.peek(), Token::Word(word) if word.eq_ignore_ascii_case(keyword)) {
            return Ok(first);
        }
        let mut all = vec![first.condition(column)?];
        while self.keyword(keyword) {
            let column = self.column();
            all.push(part(self)?.condition(column)?);
        }
        Ok(Parsed::Test(whole(all)))
    }

    fn not(&mut self) -> Result<Parsed> {
        if !self.keyword("NOT") {
            return self.test();
        }
        let column = self.column();
        let inner = self.nested(Self::not)?.condition(column)?;
        Ok(Parsed::Test(Condition::Not(Box::new(inner))))
    }

    fn test(&mut self) -> Result<Parsed> {
        let column = self.column();
        let left = self.sum()?;
        if let Some(comparison) = self.comparison() {
            return self.compare(left.value(column)?, column, comparison).map(Parsed::Test);
        }
        if self.keyword("IS") {
            let negated = self.keyword("NOT");
            if !self.keyword("NULL") {
                return Err(self.expected("NULL"));
            }
            let property = property(left, column, "IS NULL")?;
            return Ok(Parsed::Test(negate(negated, Condition::Missing(property))));
        }
        let negated = self.keyword("NOT");
        let keyword_at = self.column();
        let condition = if self.keyword("BETWEEN") {
            self.between(left.value(column)?, keyword_at)?
        } else if self.keyword("IN") {
            let property = property(left, column, "IN")?;
            Condition::In(property, self.list()?)
        } else if self.keyword("LIKE") {
            let property = property(left, column, "LIKE")?;
            Condition::Text(property, TextTest::Like(self.pattern()?))
        } else if self.keyword("CONTAINS") {
            let property = property(left, column, "CONTAINS")?;
            Condition::Text(property, TextTest::Contains(self.text()?))
        } else if self.keyword("STARTSWITH") {
            let property = property(left, column, "STARTSWITH")?;
            Condition::Text(property, TextTest::StartsWith(self.text()?))
        } else if self.keyword("ENDSWITH") {
            let property = property(left, column, "ENDSWITH")?;
            Condition::Text(property, TextTest::EndsWith(self.text()?))
        } else if negated {
            return Err(self.expected("BETWEEN, IN, LIKE, CONTAINS, STARTSWITH or ENDSWITH after NOT"));
        } else {
            return Ok(left);
        };
        Ok(Parsed::Test(negate(negated, condition)))
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let Token::Symbol(symbol) = self.peek() else { return None };
        let comparison = match *symbol {
            "=" => Comparison::Equal,
            "<>" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return None,
        };
        self.at += 1;
        Some(comparison)
    }

    fn compare(&mut self, left: Operand, left_at: usize, comparison: Comparison) -> Result<Condition> {
        let right_at = self.column();
        let right = self.sum()?.value(right_at)?;
        for (operand, column) in [(&left, left_at), (&right, right_at)] {
            if matches!(operand, Operand::Text(_) | Operand::Boolean(_)) && !comparison.is_equality() {
                let what = "only numbers have an order; text and truth values know = and <>";
                return Err(Fault::new(column, what));
            }
        }
        Ok(Condition::Compare(left, comparison, right))
    }

    fn between(&mut self, operand: Operand, at: usize) -> Result<Condition> {
        let low = self.bound()?;
        if !self.keyword("AND") {
            return Err(self.expected("AND and the upper bound"));
        }
        let high = self.bound()?;
        if let (Some(from), Some(to)) = (literal(&low), literal(&high))
            && from > to
        {
            return Err(Fault::new(at, "nothing lies between these bounds: the lower one is the higher one"));
        }
        let above = Condition::Compare(operand.clone(), Comparison::GreaterOrEqual, low);
        Ok(Condition::And(vec![above, Condition::Compare(operand, Comparison::LessOrEqual, high)]))
    }

    fn bound(&mut self) -> Result<Operand> {
        let column = self.column();
        match self.sum()?.value(column)? {
            Operand::Text(_) | Operand::Boolean(_) => Err(Fault::new(column, "the bounds are numbers")),
            bound => Ok(bound),
        }
    }

    fn list(&mut self) -> Result<Vec<ByteString>> {
        if !self.symbol("(") {
            return Err(self.expected("\"(\""));
        }
        let mut texts = vec![self.text()?];
        while self.symbol(",") {
            texts.push(self.text()?);
        }
        if !self.symbol(")") {
            return Err(self.expected("\",\" or \")\""));
        }
        Ok(texts)
    }

    fn text(&mut self) -> Result<ByteString> {
        match self.peek() {
            Token::Text(text) => {
                let text = text.as_str().into();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.expected("text in single quotes")),
        }
    }

    fn pattern(&mut self) -> Result<Vec<Wildcard>> {
        let column = self.column();
        let pattern = self.text()?;
        let escape = if self.keyword("ESCAPE") { Some(self.escape()?) } else { None };
        if pattern.chars().count() > MAX_PATTERN {
            return Err(Fault::new(column, format!("a pattern has at most {MAX_PATTERN} characters")));
        }
        let mut wildcards = Vec::with_capacity(pattern.len());
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            wildcards.push(match character {
                c if Some(c) == escape => match characters.next() {
                    Some(escaped) => Wildcard::This(escaped),
                    None => return Err(Fault::new(column, "the pattern ends with its escape character")),
                },
                '%' => Wildcard::AnyMany,
                '_' => Wildcard::AnyOne,
                c => Wildcard::This(c),
            });
        }
        Ok(wildcards)
    }

    fn escape(&mut self) -> Result<char> {
        let column = self.column();
        let text = self.text()?;
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(Fault::new(column, "the escape is one character")),
        }
    }

    fn sum(&mut self) -> Result<Parsed> {
        self.arithmetic(&[("+", Operator::Add), ("-", Operator::Subtract)], Self::product)
    }

    fn product(&mut self) -> Result<Parsed> {
        self.arithmetic(&[("*", Operator::Multiply), ("/", Operator::Divide)], Self::unary)
    }

    fn arithmetic(
        &mut self,
        operators: &[(&str, Operator)],
        part: fn(&mut Self) -> Result<Parsed>,
    ) -> Result<Parsed> {
        let column = self.column();
        let mut left = part(self)?;
        while let Some((_, operator)) = operators.iter().find(|(symbol, _)| self.symbol(symbol)) {
            self.arithmetic += 1;
            if self.arithmetic > MAX_ARITHMETIC {
                let what = format!("more than {MAX_ARITHMETIC} operators of arithmetic");
                return Err(Fault::new(column, what));
            }
            let first = number(left.value(column)?, column)?;
            let column = self.column();
            let second = number(part(self)?.value(column)?, column)?;
            left = Parsed::Value(Operand::Arithmetic(Box::new((first, *operator, second))));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Parsed> {
        let negative = match self.peek() {
            Token::Symbol("+") => false,
            Token::Symbol("-") => true,
            _ => return self.primary(),
        };
        self.at += 1;
        let column = self.column();
        let operand = number(self.nested(Self::unary)?.value(column)?, column)?;
        Ok(Parsed::Value(match operand {
            operand if !negative => operand,
            Operand::Number(Number::Integer(n)) => Operand::Number(Number::Integer(n.wrapping_neg())),
            Operand::Number(Number::Decimal(n)) => Operand::Number(Number::Decimal(-n)),
            operand => Operand::Negative(Box::new(operand)),
        }))
    }

    fn primary(&mut self) -> Result<Parsed> {
        if self.symbol("(") {
            let inner = self.nested(Self::or)?;
            return if self.symbol(")") { Ok(inner) } else { Err(self.expected("\")\"")) };
        }
        let operand = match self.peek() {
            Token::Text(text) => Operand::Text(text.as_str().into()),
            Token::Integer(number) => Operand::Number(Number::Integer(*number)),
            Token::Decimal(number) => Operand::Number(Number::Decimal(*number)),
            Token::Quoted(name) if self.dialect == Dialect::Jms && !name.is_empty() => {
                Operand::Property(Property::of_jms(name))
            }
            Token::Quoted(_) => {
                let what = "text goes in single quotes, and names in none";
                return Err(Fault::new(self.column(), what));
            }
            Token::Word(word) => match word.to_ascii_uppercase().as_str() {
                "TRUE" => Operand::Boolean(true),
                "FALSE" => Operand::Boolean(false),
                "NULL" => Operand::Null,
                upper if KEYWORDS.contains(&upper) => return Err(self.expected("a value")),
                _ => Operand::Property(match self.dialect {
                    Dialect::RocketMq => Property::of_rocketmq(word),
                    Dialect::Jms => Property::of_jms(word),
                }),
            },
            Token::Symbol(_) | Token::End => return Err(self.expected("a value")),
        };
        self.take();
        Ok(Parsed::Value(operand))
    }
}

fn negate(negated: bool, condition: Condition) -> Condition {
    if negated { Condition::Not(Box::new(condition)) } else { condition }
}

fn property(parsed: Parsed, column: usize, test: &str) -> Result<Property> {
    match parsed {
        Parsed::Value(Operand::Property(property)) => Ok(property),
        _ => Err(Fault::new(column, format!("{test} tests a property"))),
    }
}

/// Refuses what can never be a number.
fn number(operand: Operand, column: usize) -> Result<Operand> {
    match operand {
        Operand::Text(_) | Operand::Boolean(_) => {
            Err(Fault::new(column, "only numbers can be calculated with"))
        }
        operand => Ok(operand),
    }
}

fn literal(operand: &Operand) -> Option<f64> {
    match operand {
        Operand::Number(Number::Integer(n)) => Some(*n as f64),
        Operand::Number(Number::Decimal(n)) => Some(*n),
        _ => None,
    }
}
