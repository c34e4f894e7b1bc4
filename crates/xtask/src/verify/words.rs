//! The middle of the broker must not know the wires: no word of theirs outside comments.

use super::Tree;
use crate::shell::Result;
use std::path::Path;

const FOLDERS: [&str; 4] = ["crates/model", "crates/store", "crates/broker", "auth"];
const WORDS: [&str; 5] = ["remoting", "grpc", "stomp", "kafka", "http"];

const FETCHED: &str = "the keys of a token's issuer are fetched from its own server: that is no wire of ours";

/// Where a wire's name is a fact to remember and not a case to treat: file, part of the line, reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    (
        "crates/model/src/headers.rs",
        "const DESTINATION",
        "the header's stored name, so that it reaches its wire again",
    ),
    (
        "crates/model/src/headers.rs",
        "const RECORD_KEY",
        "the name by which every wire shows a key that it cannot say itself",
    ),
    ("auth/src/token/fetch.rs", "", FETCHED),
    ("auth/src/token/fetch/tests.rs", "", FETCHED),
    ("auth/src/token/tests.rs", "https", FETCHED),
    ("auth/src/token/tests.rs", "jwks_url", FETCHED),
    ("crates/store/src/record.rs", "Protocol::", "the number by which a record remembers its wire"),
];

/// The one enumeration of wires.
const ENUMERATION: (&str, &str) = ("crates/model/src/message.rs", "pub enum Protocol {");

pub fn check(tree: &Tree) -> Result<Vec<String>> {
    let texts = tree.texts(&FOLDERS, "rs")?;
    Ok(texts.iter().flat_map(|(path, text)| find(path, text)).collect())
}

fn find(path: &Path, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut in_enumeration = false;
    for (number, line) in without_comments(text).lines().enumerate() {
        in_enumeration |= path == Path::new(ENUMERATION.0) && line.starts_with(ENUMERATION.1);
        in_enumeration &= !line.starts_with('}');
        let lower = line.to_lowercase();
        let word = WORDS.iter().find(|word| lower.contains(*word));
        let allowed = ALLOWED.iter().any(|(file, part, _)| path == Path::new(file) && line.contains(part));
        if let Some(word) = word
            && !in_enumeration
            && !allowed
        {
            wrong.push(format!(
                "{}:{}: {word:?} does not belong here; keep it in protocols/{word}, and give the model a word for what \
                 it means",
                path.display(),
                number + 1,
            ));
        }
    }
    wrong
}

/// The text with comments blanked, lines kept. Strings are left alone, and a `//` in one does not begin a comment.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let (mut in_string, mut depth) = (false, 0);
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        match (c, next) {
            ('*', Some('/')) if depth > 0 => {
                depth -= 1;
                rest.next();
            }
            ('/', Some('*')) if !in_string => {
                depth += 1;
                rest.next();
            }
            ('\n', _) => out.push('\n'),
            _ if depth > 0 => {}
            ('/', Some('/')) if !in_string => while rest.next_if(|c| *c != '\n').is_some() {},
            ('\\', Some(escaped)) if in_string => {
                out.extend([c, escaped]);
                rest.next();
            }
            // A quote as a character literal.
            ('\'', Some('"')) if !in_string => {
                out.push(c);
                out.extend(rest.next());
            }
            _ => {
                in_string ^= c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_may_speak_of_wires_and_code_may_not() {
        let path = Path::new("crates/store/src/x.rs");
        let clean = "// stomp\n/* kafka\n http */ let a = '\"'; // grpc\nlet url = \"//\"; //! remoting\n";
        assert_eq!(find(path, clean), Vec::<String>::new());
        let found = find(path, "let a = 1;\nlet b = \"// stomp\";\nfn kafka_offset() {}\n");
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("crates/store/src/x.rs:2: \"stomp\""), "{found:?}");
    }

    #[test]
    fn the_enumeration_of_wires_is_allowed_and_nothing_after_it() {
        let text = "pub enum Protocol {\n    Stomp,\n}\nfn stomp() {}\n";
        assert_eq!(find(Path::new("crates/model/src/message.rs"), text).len(), 1);
        assert_eq!(find(Path::new("crates/model/src/other.rs"), text).len(), 2);
    }
}
