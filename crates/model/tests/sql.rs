//! SQL expressions: what they say of messages, and where they are wrong. A second, simpler evaluator says the same of
//! thousands of them.

#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use sluice_model::{Dialect, Filter, Headers, Keys, MAX_SQL, Message, Sql};

fn message(properties: &[(&str, &str)]) -> Message {
    let mut headers = Headers::builder();
    for (name, value) in properties {
        headers.push(name, Some(value.as_bytes())).unwrap();
    }
    Message { headers: headers.build(), ..Message::default() }
}

fn passes(expression: &str, message: &Message) -> bool {
    Filter::sql(expression, Dialect::RocketMq)
        .unwrap_or_else(|e| panic!("{expression}: {e}"))
        .matches(message)
}

#[test]
fn what_is_delivered() {
    let sample = message(&[("a", "5"), ("s", "hello"), ("t", "true"), ("d", "1.5"), ("q", "it's")]);
    for (expression, wanted) in [
        ("a > 1", true),
        ("a = 5", true),
        ("a = '5'", true),
        ("a <> 6", true),
        ("a > -1", true),
        ("a >= 5 AND a <= 5", true),
        ("a < 5 OR a > 5", false),
        ("5 = a", true),
        ("a between 1 and 9", true),
        ("a not between 1 and 9", false),
        ("a between 6 and 9", false),
        ("missing = 1", false),
        ("missing <> 1", false),
        ("not (missing = 1)", false),
        ("not (not (missing = 1))", false),
        ("missing = 1 or a = 5", true),
        ("missing = 1 and a = 5", false),
        ("not (missing = 1 and a = 6)", true),
        ("missing in ('x')", false),
        ("missing not in ('x')", false),
        ("missing is null", true),
        ("missing is not null", false),
        ("a is not null", true),
        ("d > 1.4", true),
        // Numbers are compared as numbers; stock brokers cannot read "1.5" here.
        ("d > 1", true),
        ("d between 1 and 2", true),
        ("d between 1.25 and 1.75", true),
        ("d = 1.5", true),
        ("d < 1.5", false),
        ("d > .25", true),
        ("d = 15e-1", true),
        ("d = 1.5e0", true),
        ("d > 1.", true),
        ("s > 3", false),
        ("not (s > 3)", false),
        ("s > 3 or a = 5", true),
        ("a = s", false),
        ("a <> s", true),
        ("t", true),
        ("s", false),
        ("t = true", true),
        ("t = TRUE and t <> false", true),
        ("s in ('hello','x')", true),
        ("s not in ('hello','x')", false),
        ("s contains 'ell'", true),
        ("s not contains 'ell'", false),
        ("s startswith 'he' and s endswith 'lo'", true),
        ("missing not contains 'x'", false),
        ("s like 'h%o'", true),
        ("s like 'h_llo'", true),
        ("s like 'h_o'", false),
        ("s not like 'x%'", true),
        ("q = 'it''s'", true),
        ("not a = 6", true),
        ("A = 5", false),
        ("TRUE", true),
        ("FALSE or NULL", false),
        ("a + 1 > 5 and a * 2 = 10 and a / 2 = 2 and -a = -5 and (a - 1) * 2 = 8", true),
        ("a / 0 = 1 or a / 0 <> 1", false),
        ("a = 5L /* five */ and -- the rest\n s = 'hello'", true),
        ("a > 0.0", true),
        ("a = 5e0", true),
        ("a = .5e1", true),
    ] {
        assert_eq!(passes(expression, &sample), wanted, "{expression}");
    }
}

#[test]
fn names_that_mean_more_than_headers() {
    let sample = Message {
        tag: Some("A".into()),
        keys: Keys::joined("k1 k2"),
        id: "0A00".into(),
        ordering_group: Some("g".into()),
        born: 1_700_000_000_000,
        ..message(&[("correlation-id", "c"), ("x-y", "7"), ("TAGS", "other")])
    };
    for expression in [
        "TAGS = 'A'",
        "TAGS is not null and TAGS in ('A', 'B')",
        "KEYS contains 'k2'",
        "UNIQ_KEY = '0A00'",
        "__SHARDINGKEY = 'g'",
        "CORRELATION_ID = 'c'",
    ] {
        assert!(passes(expression, &sample), "{expression}");
    }
    let jms = |expression| Sql::parse(expression, Dialect::Jms).unwrap().matches(&sample);
    for expression in [
        "tag = 'A' and JMSType = 'A'",
        "\"x-y\" > 6",
        "\"message-group\" = 'g' and JMSXGroupID = 'g'",
        "JMSCorrelationID = 'c' and \"correlation-id\" = 'c'",
        "JMSTimestamp between 1600000000000 and 1800000000000",
        "JMSMessageID like '0A%'",
    ] {
        assert!(jms(expression), "{expression}");
    }
}

#[test]
fn a_fault_is_told_with_its_column() {
    for (expression, column, words) in [
        ("", 1, "a value, found the end"),
        ("a >", 4, "expected a value"),
        ("a > 1 garbage", 7, "expected AND, OR or the end, found \"garbage\""),
        ("a > 1)", 6, "found \")\""),
        ("(a > 1", 7, "expected \")\", found the end"),
        ("a > '1'", 5, "only numbers have an order"),
        ("a > true", 5, "only numbers have an order"),
        ("1", 1, "a condition is expected"),
        ("a = 5 and 'x'", 11, "a condition is expected"),
        ("a in (5)", 7, "text in single quotes, found 5"),
        ("a in ()", 7, "text in single quotes"),
        ("a in ('x' 'y')", 11, "\",\" or \")\""),
        ("1 in ('x')", 1, "IN tests a property"),
        ("a between 9 and 1", 3, "nothing lies between"),
        ("a between 'x' and 1", 11, "the bounds are numbers"),
        ("a between 1 or 2", 13, "expected AND"),
        ("a == 1", 3, "equality is \"=\""),
        ("a != 5", 3, "inequality is \"<>\""),
        ("s = \"x\"", 5, "text goes in single quotes"),
        ("s = 'x", 5, "not closed"),
        ("a.b = 1", 2, "unexpected '.'"),
        ("a = 9223372036854775808", 5, "more than 64 bits"),
        ("a = 1e999", 5, "too large"),
        ("a = 5x", 5, "\"5x\" is no number"),
        ("a=5and s='hello'", 3, "\"5and\" is no number"),
        ("a = 1 /* x", 7, "a comment that is not closed"),
        ("a is 5", 6, "expected NULL"),
        ("a not 5", 7, "after NOT"),
        ("a like 5", 8, "text in single quotes"),
        ("a like 'x' escape 'ab'", 19, "one character"),
        ("a like 'x!' escape '!'", 8, "ends with its escape"),
        ("'x' + 1 = 2", 1, "only numbers can be calculated with"),
        ("(a = 1) + 1 = 2", 1, "a value is expected"),
        ("é = 1", 1, "unexpected 'é'"),
        ("a = 'é' x", 9, "found \"x\""),
        ("a = and", 5, "expected a value, found \"and\""),
    ] {
        let error = Filter::sql(expression, Dialect::RocketMq).unwrap_err().to_string();
        assert!(error.contains(&format!("at column {column}: ")), "{expression}: {error}");
        assert!(error.contains(words), "{expression}: {error}");
    }
}

#[test]
fn everything_has_a_limit() {
    let fails = |expression: &str| Filter::sql(expression, Dialect::RocketMq).unwrap_err().to_string();
    assert!(fails(&"(".repeat(5000)).contains("nested deeper"));
    assert!(fails(&format!("{}a = 1", "not ".repeat(3000))).contains("nested deeper"));
    assert!(fails(&format!("a = {}1", "- ".repeat(3000))).contains("nested deeper"));
    assert!(fails(&format!("a = 1{}", "+1".repeat(3000))).contains("arithmetic"));
    assert!(fails(&format!("a like '{}'", "%".repeat(300))).contains("256 characters"));
    assert!(fails(&format!("a = '{}'", "x".repeat(MAX_SQL))).contains("bytes"));
    // A long list and a long chain are no nesting.
    let chain = vec!["a = 'x'"; 1000].join(" or ");
    assert!(!passes(&chain, &message(&[("a", "y")])));
    let list = vec!["'x'"; 2000].join(",");
    assert!(passes(&format!("a in ({list})"), &message(&[("a", "x")])));
}

/// An expression of the second evaluator.
#[derive(Debug, Clone)]
enum Naive {
    Number(usize, &'static str, f64),
    Text(usize, bool, &'static str),
    Missing(usize, bool),
    Between(usize, bool, f64, f64),
    In(usize, bool, Vec<&'static str>),
    Like(usize, bool, String),
    Contains(usize, bool, &'static str),
    Literal(Option<bool>),
    Not(Box<Naive>),
    And(Box<Naive>, Box<Naive>),
    Or(Box<Naive>, Box<Naive>),
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const TEXTS: [&str; 5] = ["x", "xyz", "5", "-2.5", ""];

impl Naive {
    fn written(&self) -> String {
        let word = |not: &bool| if *not { "NOT " } else { "" };
        match self {
            Self::Number(p, op, n) => format!("{} {op} {n}", NAMES[*p]),
            Self::Text(p, equal, t) => format!("{} {} '{t}'", NAMES[*p], if *equal { "=" } else { "<>" }),
            Self::Missing(p, not) => format!("{} IS {}NULL", NAMES[*p], word(not)),
            Self::Between(p, not, a, b) => format!("{} {}BETWEEN {a} AND {b}", NAMES[*p], word(not)),
            Self::In(p, not, all) => {
                let all: Vec<_> = all.iter().map(|t| format!("'{t}'")).collect();
                format!("{} {}IN ({})", NAMES[*p], word(not), all.join(", "))
            }
            Self::Like(p, not, t) => format!("{} {}LIKE '{t}'", NAMES[*p], word(not)),
            Self::Contains(p, not, t) => format!("{} {}CONTAINS '{t}'", NAMES[*p], word(not)),
            Self::Literal(None) => "NULL".into(),
            Self::Literal(Some(b)) => b.to_string(),
            Self::Not(e) => format!("NOT ({})", e.written()),
            Self::And(a, b) => format!("({}) AND ({})", a.written(), b.written()),
            Self::Or(a, b) => format!("({}) OR ({})", a.written(), b.written()),
        }
    }

    fn truth(&self, of: &[Option<&str>]) -> Option<bool> {
        let number = |p: &usize| of[*p].and_then(|t| t.parse::<f64>().ok());
        match self {
            Self::Number(p, op, n) => number(p).map(|v| match *op {
                "=" => v == *n,
                "<>" => v != *n,
                "<" => v < *n,
                "<=" => v <= *n,
                ">" => v > *n,
                _ => v >= *n,
            }),
            Self::Text(p, equal, t) => of[*p].map(|v| (v == *t) == *equal),
            Self::Missing(p, not) => Some(of[*p].is_none() != *not),
            Self::Between(p, not, a, b) => number(p).map(|v| (v >= *a && v <= *b) != *not),
            Self::In(p, not, all) => of[*p].map(|v| all.contains(&v) != *not),
            Self::Like(p, not, t) => {
                of[*p].map(|v| like(&v.chars().collect::<Vec<_>>(), &t.chars().collect::<Vec<_>>()) != *not)
            }
            Self::Contains(p, not, t) => of[*p].map(|v| v.contains(t) != *not),
            Self::Literal(b) => *b,
            Self::Not(e) => e.truth(of).map(|b| !b),
            Self::And(a, b) => match (a.truth(of), b.truth(of)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.truth(of), b.truth(of)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

fn like(text: &[char], pattern: &[char]) -> bool {
    match (text, pattern) {
        ([], []) => true,
        (_, ['%', rest @ ..]) => (0..=text.len()).any(|n| like(&text[n..], rest)),
        ([_, text @ ..], ['_', rest @ ..]) => like(text, rest),
        ([a, text @ ..], [b, rest @ ..]) if a == b => like(text, rest),
        _ => false,
    }
}

fn naive() -> impl Strategy<Value = Naive> {
    let name = || 0..NAMES.len();
    let number = || (-20..20i32).prop_map(|n| f64::from(n) / 4.0);
    let text = || prop::sample::select(&TEXTS[..]);
    let operator = prop::sample::select(&["=", "<>", "<", "<=", ">", ">="][..]);
    let leaf = prop_oneof![
        (name(), operator, number()).prop_map(|(p, op, n)| Naive::Number(p, op, n)),
        (name(), any::<bool>(), text()).prop_map(|(p, e, t)| Naive::Text(p, e, t)),
        (name(), any::<bool>()).prop_map(|(p, n)| Naive::Missing(p, n)),
        (name(), any::<bool>(), number(), 0..5i32).prop_map(|(p, n, a, more)| Naive::Between(
            p,
            n,
            a,
            a + f64::from(more)
        )),
        (name(), any::<bool>(), prop::collection::vec(text(), 1..4))
            .prop_map(|(p, n, all)| Naive::In(p, n, all)),
        (name(), any::<bool>(), "[xyz%_]{0,5}").prop_map(|(p, n, t)| Naive::Like(p, n, t)),
        (name(), any::<bool>(), text()).prop_map(|(p, n, t)| Naive::Contains(p, n, t)),
        any::<Option<bool>>().prop_map(Naive::Literal),
    ];
    leaf.prop_recursive(5, 40, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|e| Naive::Not(Box::new(e))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Naive::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Naive::Or(Box::new(a), Box::new(b))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_second_evaluator_agrees(
        expression in naive(),
        values in prop::array::uniform3(prop::option::of(prop::sample::select(&["x", "xyz", "5", "5.0", "-2.5", "0"][..]))),
    ) {
        let properties: Vec<_> = NAMES.iter().zip(values).filter_map(|(n, v)| Some((*n, v?))).collect();
        let message = message(&properties);
        let (written, wanted) = (expression.written(), expression.truth(&values) == Some(true));
        prop_assert_eq!(passes(&written, &message), wanted, "{} of {:?}", written, properties);
        // What is not true is either false or unknown, and only one of them becomes true when negated.
        let negated = format!("NOT ({written})");
        prop_assert_eq!(passes(&negated, &message), expression.truth(&values) == Some(false), "{}", negated);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-c0-9'\"()<>=!%_+*/., é-]{0,60}|(and|or|not|in|is|null|like|between| ){0,12}") {
        for dialect in [Dialect::RocketMq, Dialect::Jms] {
            if let Ok(filter) = Filter::sql(&text, dialect) {
                filter.matches(&message(&[("a", "1"), ("b", "x")]));
            }
        }
    }
}
