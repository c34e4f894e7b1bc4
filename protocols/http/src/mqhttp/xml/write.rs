//! Documents that seven parsers understand, some of them written by hand.
//!
//! The one idea to know: the rules are these. One default namespace, on the root, without a slash at its end; no prefix,
//! no other attribute, no CDATA, no comment; never an element that closes itself; nothing between elements.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const NAMESPACE: &str = "http://mq.aliyuncs.com/doc/v1";
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/xml;charset=UTF-8");

pub(in crate::mqhttp) struct Document {
    root: &'static str,
    text: String,
}

impl Document {
    pub fn new(root: &'static str) -> Self {
        Self { root, text: format!("{DECLARATION}<{root} xmlns=\"{NAMESPACE}\">") }
    }

    pub fn open(&mut self, name: &str) {
        self.text.extend(["<", name, ">"]);
    }

    pub fn close(&mut self, name: &str) {
        self.text.extend(["</", name, ">"]);
    }

    /// An element with a text that XML can carry.
    pub fn element(&mut self, name: &str, text: &str) {
        self.open(name);
        escape(text, &mut self.text);
        self.close(name);
    }

    pub fn number(&mut self, name: &str, number: u64) {
        self.element(name, &number.to_string());
    }

    fn finish(mut self) -> String {
        self.close(self.root);
        self.text
    }
}

/// A line feed and a tab survive as they are; a carriage return would become a line feed.
fn escape(text: &str, to: &mut String) {
    to.reserve(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '\r']) {
        let (plain, special) = rest.split_at(at);
        to.push_str(plain);
        to.push_str(match special.as_bytes().first() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            _ => "&#13;",
        });
        rest = special.get(1..).unwrap_or_default();
    }
    to.push_str(rest);
}

pub(in crate::mqhttp) fn answer(status: StatusCode, document: Document) -> Response {
    let mut response = (status, Body::from(document.finish())).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_keeps_the_rules() {
        let mut document = Document::new("Message");
        document.element("MessageBody", "a<b>&\r\n]]>\"'\u{1F600}");
        document.number("ConsumedTimes", 1);
        document.element("Properties", "");
        assert_eq!(
            document.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Message xmlns=\"http://mq.aliyuncs.com/doc/v1\">\
             <MessageBody>a&lt;b&gt;&amp;&#13;\n]]&gt;\"'\u{1F600}</MessageBody><ConsumedTimes>1</ConsumedTimes>\
             <Properties></Properties></Message>"
        );
    }
}
