//! The two documents that clients send: a message, and a list of handles.
//!
//! Seven SDKs write them, with and without namespace, declaration, byte-order mark and CDATA sections. The one idea to
//! know: a document is a root with leaves; names count without prefix and namespace, and what is unknown is passed over.
//! There is no document type, so there are no entities but the five that XML has.

use super::is_char;
use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesRef, Event};

/// The deepest nesting that is looked through for an end: known elements are at the second level.
const MAX_DEPTH: usize = 16;
/// The most handles of one document. SDKs send what one receive gave, at most 16.
pub(in crate::mqhttp) const MAX_HANDLES: usize = 64;

/// Why a text is not the wanted document.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mqhttp) struct Malformed(pub String);

/// A message to be published.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::mqhttp) struct NewMessage {
    pub body: Option<String>,
    pub tag: Option<String>,
    pub properties: Option<String>,
}

pub(in crate::mqhttp) fn message(bytes: &[u8]) -> Result<NewMessage, Malformed> {
    let mut message = NewMessage::default();
    leaves(bytes, "Message", |name, text| {
        let field = match name {
            "MessageBody" => &mut message.body,
            "MessageTag" => &mut message.tag,
            "Properties" => &mut message.properties,
            _ => return Ok(()),
        };
        match field.replace(text) {
            None => Ok(()),
            Some(_) => Err(malformed(format!("there are several elements {name}"))),
        }
    })?;
    Ok(message)
}

/// Handles may stand there twice; the settling of each is told once.
pub(in crate::mqhttp) fn receipt_handles(bytes: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut handles: Vec<String> = Vec::new();
    leaves(bytes, "ReceiptHandles", |name, text| {
        if name != "ReceiptHandle" || handles.contains(&text) {
            return Ok(());
        }
        if handles.len() == MAX_HANDLES {
            return Err(malformed(format!("at most {MAX_HANDLES} handles at once")));
        }
        handles.push(text);
        Ok(())
    })?;
    Ok(handles)
}

fn malformed(why: impl Into<String>) -> Malformed {
    Malformed(why.into())
}

/// Hands each child of the root over, with its text.
fn leaves(
    bytes: &[u8],
    root: &str,
    leaf: impl FnMut(&str, String) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("the document is not UTF-8"))?;
    if let Some(c) = text.chars().find(|c| !is_char(*c)) {
        return Err(malformed(format!("XML cannot have the character {c:?}")));
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let mut walk = Walk { root, leaf, depth: 0, seen_root: false, name: String::new(), text: String::new() };
    loop {
        let event = reader.read_event().map_err(|error| malformed(error.to_string()))?;
        if matches!(event, Event::Eof) {
            return walk.finish();
        }
        walk.step(event)?;
    }
}

struct Walk<'a, F> {
    root: &'a str,
    leaf: F,
    /// 1 within the root, 2 within one of its children.
    depth: usize,
    seen_root: bool,
    name: String,
    text: String,
}

impl<F: FnMut(&str, String) -> Result<(), Malformed>> Walk<'_, F> {
    fn step(&mut self, event: Event<'_>) -> Result<(), Malformed> {
        match event {
            Event::Start(tag) => {
                check_attributes(&tag)?;
                self.open(tag.local_name().into_inner())
            }
            Event::Empty(tag) => {
                check_attributes(&tag)?;
                self.open(tag.local_name().into_inner())?;
                self.close()
            }
            Event::End(_) => self.close(),
            // An SDK puts bodies into CDATA sections as they are: this is the rest of one that has the end in it.
            Event::Text(text) if text.contains("]]>") => Err(malformed("there is an ]]> too many")),
            Event::Text(text) => self.text(&text.xml10_content(), false),
            Event::CData(text) => self.text(&text.xml10_content(), true),
            Event::GeneralRef(reference) => {
                let c = resolve(&reference)?;
                self.text(c.encode_utf8(&mut [0; 4]), true)
            }
            Event::Decl(declaration) => self.declaration(&declaration),
            Event::DocType(_) => Err(malformed("a document type is not allowed")),
            Event::Comment(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn open(&mut self, name: &str) -> Result<(), Malformed> {
        if self.depth == 0 && (self.seen_root || name != self.root) {
            return Err(malformed(format!("the document is not one element {}", self.root)));
        }
        if self.depth == MAX_DEPTH {
            return Err(malformed("the document is nested too deeply"));
        }
        self.seen_root = true;
        self.depth += 1;
        if self.depth == 2 {
            self.name.clear();
            self.name.push_str(name);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Malformed> {
        if self.depth == 2 {
            (self.leaf)(&self.name, std::mem::take(&mut self.text))?;
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    /// Text counts in leaves. Outside the root there may be none at all, not even of blanks in disguise.
    fn text(&mut self, text: &str, disguised: bool) -> Result<(), Malformed> {
        match self.depth {
            0 if disguised || !text.trim_matches([' ', '\t', '\n', '\r']).is_empty() => {
                Err(malformed("there is text outside the root element"))
            }
            2 => {
                self.text.push_str(text);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn declaration(&self, declaration: &BytesDecl<'_>) -> Result<(), Malformed> {
        if self.seen_root {
            return Err(malformed("the XML declaration stands at the beginning"));
        }
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(name)) if ["utf-8", "utf8", "us-ascii"].contains(&name.to_ascii_lowercase().as_str()) => {
                Ok(())
            }
            Some(_) => Err(malformed("the encoding is not UTF-8")),
        }
    }

    fn finish(self) -> Result<(), Malformed> {
        match (self.seen_root, self.depth) {
            (true, 0) => Ok(()),
            (false, _) => Err(malformed(format!("there is no element {}", self.root))),
            (true, _) => Err(malformed("the document ends early")),
        }
    }
}

fn check_attributes(tag: &quick_xml::events::BytesStart<'_>) -> Result<(), Malformed> {
    // Comparing all with all is the reader's way of finding duplicates.
    let attributes = tag.attributes().take(MAX_ATTRIBUTES + 1);
    let count = attributes.map(|attribute| attribute.map_err(|error| malformed(error.to_string())));
    match count.collect::<Result<Vec<_>, _>>()?.len() {
        0..=MAX_ATTRIBUTES => Ok(()),
        _ => Err(malformed("an element has too many attributes")),
    }
}

/// Clients write one: the namespace.
const MAX_ATTRIBUTES: usize = 16;

fn resolve(reference: &BytesRef<'_>) -> Result<char, Malformed> {
    let unknown = || malformed(format!("there is no character &{};", reference.as_ref()));
    let c = match reference.as_ref() {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => reference.resolve_char_ref().ok().flatten().ok_or_else(unknown)?,
    };
    if is_char(c) { Ok(c) } else { Err(unknown()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str, tag: Option<&str>, properties: Option<&str>) -> NewMessage {
        let own = |text: Option<&str>| text.map(str::to_owned);
        NewMessage { body: Some(body.into()), tag: own(tag), properties: own(properties) }
    }

    #[test]
    fn every_sdk_is_understood() {
        let wanted = of("a < b & c", Some("TagA"), Some("KEYS:k|"));
        for document in [
            r#"<?xml version="1.0" encoding="utf-8"?><Message xmlns="http://mq.aliyuncs.com/doc/v1/"><MessageBody>a &lt; b &amp; c</MessageBody><Properties>KEYS:k|</Properties><MessageTag>TagA</MessageTag></Message>"#,
            r#"<?xml version="1.0" encoding="UTF-8" standalone="no"?><Message xmlns="http://mq.aliyuncs.com/doc/v1"><MessageTag>TagA</MessageTag><MessageBody>a &#60; b &#x26; c</MessageBody><Properties>KEYS:k|</Properties></Message>"#,
            "<?xml version=\"1.0\"?>\n<Message xmlns=\"http://mq.aliyuncs.com/doc/v1/\">\n<MessageBody><![CDATA[a < b & c]]></MessageBody><MessageTag><![CDATA[TagA]]></MessageTag><Properties><![CDATA[KEYS:k|]]></Properties></Message>",
            "<Message><MessageBody>a &lt; b &amp; c</MessageBody><MessageTag>TagA</MessageTag><Properties>KEYS:k|</Properties></Message>",
            "\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?><Message xmlns=\"http://mq.aliyuncs.com/doc/v1\"><MessageBody>a &lt; b &amp; c</MessageBody><MessageTag>TagA</MessageTag><Properties>KEYS:k|</Properties></Message>",
            "<m:Message xmlns:m='x'><!-- note --><m:MessageBody>a &lt; b &amp; c</m:MessageBody><New><Deep/>er</New><MessageTag>TagA</MessageTag><Properties>KEYS:k|</Properties></m:Message>\n",
        ] {
            assert_eq!(message(document.as_bytes()).as_ref(), Ok(&wanted), "{document}");
        }
    }

    #[test]
    fn blanks_and_line_ends_are_as_xml_says() {
        let body = |inner: &str| {
            message(format!("<Message><MessageBody>{inner}</MessageBody></Message>").as_bytes()).unwrap()
        };
        assert_eq!(body(" a \r\nb\rc&#13;\n"), of(" a \nb\nc\r\n", None, None));
        assert_eq!(body("<![CDATA[a]]]]><![CDATA[>b]]>"), of("a]]>b", None, None));
        assert_eq!(body("😀&#x1F600;"), of("😀😀", None, None));
        assert_eq!(message(b"<Message><MessageBody/></Message>").unwrap(), of("", None, None));
        assert_eq!(message(b"<Message/>").unwrap(), NewMessage::default());
    }

    #[test]
    fn what_is_not_xml_or_dangerous_is_refused() {
        let deep = format!("<Message>{}", "<a>".repeat(1000));
        let attributes = (0..1000).map(|n| format!(" a{n}='x'")).collect::<String>();
        let many = format!("<Message{attributes}/>");
        for document in [
            "",
            " ",
            "text",
            "<Message>",
            "<Message></message>",
            "<Other/>",
            "<Message/><Message/>",
            "<Message/>x",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><Message>&x;</Message>",
            "<Message><MessageBody>&x;</MessageBody></Message>",
            "<Message><MessageBody>&#0;</MessageBody></Message>",
            "<Message><MessageBody>&#8;</MessageBody></Message>",
            "<Message><MessageBody>&#xD800;</MessageBody></Message>",
            "<Message><MessageBody>a & b</MessageBody></Message>",
            "<Message><MessageBody>\u{1}</MessageBody></Message>",
            "<Message><MessageBody>a</MessageBody><MessageBody>b</MessageBody></Message>",
            "<?xml version=\"1.0\" encoding=\"GBK\"?><Message/>",
            "<Message><MessageBody><![CDATA[a ]]> b]]></MessageBody></Message>",
            "<Message a='1' a='2'/>",
            "<![CDATA[ ]]><Message/>",
            "<Message/></Message>",
            &deep,
            &many,
        ] {
            assert!(message(document.as_bytes()).is_err(), "{document:.60}");
        }
        assert!(message(b"<Message>\xff</Message>").is_err());
    }

    #[test]
    fn handles_are_listed_once_and_not_without_end() {
        let list =
            |n: usize| (0..n).map(|n| format!("<ReceiptHandle>h{n}</ReceiptHandle>")).collect::<String>();
        let wrap =
            |inner: &str| receipt_handles(format!("<ReceiptHandles>{inner}</ReceiptHandles>").as_bytes());
        assert_eq!(wrap(&list(2)).unwrap(), ["h0", "h1"]);
        assert_eq!(wrap(&(list(2) + &list(2))).unwrap(), ["h0", "h1"]);
        assert_eq!(wrap("").unwrap(), [""; 0]);
        assert_eq!(wrap(&list(MAX_HANDLES)).unwrap().len(), MAX_HANDLES);
        assert!(wrap(&list(MAX_HANDLES + 1)).is_err());
    }
}
