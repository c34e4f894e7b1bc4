//! SQL expressions: any text is parsed or refused with a column inside it, and what is parsed can be asked about any
//! message.
#![no_main]

use sluice_model::{Dialect, Headers, Message, Sql};

libfuzzer_sys::fuzz_target!(|input: (&str, &str, &str)| {
    let (expression, name, value) = input;
    let mut headers = Headers::builder();
    let _ = headers.push(name, Some(value.as_bytes()));
    let _ = headers.push("a", Some(value.as_bytes()));
    let message = Message { headers: headers.build(), tag: Some(value.into()), ..Message::default() };
    for dialect in [Dialect::RocketMq, Dialect::Jms] {
        match Sql::parse(expression, dialect) {
            Ok(sql) => drop(sql.matches(&message)),
            Err(error) => {
                let text = error.message();
                let column = text.split("at column ").nth(1).and_then(|rest| rest.split(':').next());
                let column: Option<usize> = column.and_then(|digits| digits.parse().ok());
                let inside = column.is_some_and(|c| (1..=expression.chars().count() + 1).contains(&c));
                assert!(inside || text.contains("bytes"), "{expression:?}: {text}");
            }
        }
    }
});
