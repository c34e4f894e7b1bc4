//! The document as a page for people: `/docs`.
//!
//! It is made here, once, as plain HTML with its own few lines of style. So it needs no script, no font and nothing from
//! elsewhere, works on a machine without a network, and its content policy can forbid everything. What comes from the
//! document is escaped, all of it.

use serde_json::Value;
use std::fmt::Write;

/// All of the page's style.
pub(crate) const STYLE: &str = "
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:2.5rem;border-bottom:1px solid #8886}
details{margin:.4rem 0;padding:.3rem .6rem;border:1px solid #8884;border-radius:.4rem}
summary{cursor:pointer}
code,pre{font:13px/1.45 ui-monospace,monospace}
pre{overflow-x:auto;padding:.6rem;background:#8881;border-radius:.3rem}
.m{display:inline-block;min-width:4.2rem;font-weight:600}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #8883}
nav a{margin-right:.8rem}
";

/// The whole page.
pub(crate) fn render(document: &Value) -> String {
    let mut page = String::with_capacity(64 << 10);
    let title = escape(text(&document["info"]["title"]));
    let version = escape(text(&document["info"]["version"]));
    let about = escape(text(&document["info"]["description"]));
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><h1>{title} {version}</h1>\n<p>{about} The same for programs: <a href=\"/openapi.json\">/openapi.json</a>, \
         <a href=\"/openapi.yaml\">/openapi.yaml</a>.</p>\n"
    );
    let tags = tags(document);
    page.push_str("<nav>");
    for tag in &tags {
        let tag = escape(tag);
        let _ = write!(page, "<a href=\"#{tag}\">{tag}</a>");
    }
    page.push_str("</nav>\n");
    for tag in &tags {
        let name = escape(tag);
        let _ = writeln!(page, "<h2 id=\"{name}\">{name}</h2>");
        for (path, method, operation) in operations(document) {
            if text(&operation["tags"][0]) == *tag {
                render_operation(&mut page, path, method, operation);
            }
        }
    }
    page.push_str("<h2 id=\"schemas\">schemas</h2>\n");
    for (name, schema) in members(&document["components"]["schemas"]) {
        let name = escape(name);
        let _ = writeln!(
            page,
            "<details id=\"schema-{name}\"><summary><code>{name}</code></summary><pre>{}</pre></details>",
            pretty(schema)
        );
    }
    page.push_str("</body></html>\n");
    page
}

fn render_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = writeln!(
        page,
        "<details><summary><span class=\"m\">{}</span><code>{}</code> {}</summary>",
        escape(&method.to_ascii_uppercase()),
        escape(path),
        escape(text(&operation["summary"])),
    );
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        page.push_str("<table><tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>\n");
        for parameter in parameters {
            let must = if parameter["required"] == true { " *" } else { "" };
            let _ = writeln!(
                page,
                "<tr><td><code>{}</code>{must}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(text(&parameter["name"])),
                escape(text(&parameter["in"])),
                escape(&kind(&parameter["schema"])),
                escape(text(&parameter["description"])),
            );
        }
        page.push_str("</table>\n");
    }
    for (media, content) in members(&operation["requestBody"]["content"]) {
        let _ = writeln!(page, "<p>Body <code>{}</code>: {}</p>", escape(media), link(&content["schema"]));
    }
    page.push_str("<table><tr><th>answer</th><th></th></tr>\n");
    for (status, response) in members(&operation["responses"]) {
        let mut shapes: Vec<String> = members(&response["content"])
            .map(|(media, content)| format!("<code>{}</code> {}", escape(media), link(&content["schema"])))
            .collect();
        if let Some(reference) = response["$ref"].as_str() {
            shapes.push(escape(last(reference)));
        }
        let _ = writeln!(page, "<tr><td>{}</td><td>{}</td></tr>", escape(status), shapes.join("<br>"));
    }
    page.push_str("</table></details>\n");
}

/// The tags of all operations, in the order in which they come first.
fn tags(document: &Value) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for (_, _, operation) in operations(document) {
        let tag = text(&operation["tags"][0]);
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    tags
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    members(&document["paths"])
        .flat_map(|(path, methods)| members(methods).map(move |(method, op)| (path, method, op)))
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn last(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

/// A parameter's type in a few words.
fn kind(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().map(text).filter(|word| !word.is_empty()).collect();
        return words.join(" | ");
    }
    match (text(&schema["type"]), text(&schema["format"])) {
        ("array", _) => format!("{}, repeated", kind(&schema["items"])),
        (kind, "") => kind.to_owned(),
        (_, format) => format.to_owned(),
    }
}

/// A schema that is somewhere on the page, or the schema itself.
fn link(schema: &Value) -> String {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let name = escape(last(reference));
            format!("<a href=\"#schema-{name}\">{name}</a>")
        }
        None => format!("<code>{}</code>", escape(&schema.to_string())),
    }
}

fn pretty(value: &Value) -> String {
    escape(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// A text as it stands between tags and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::ROUTES;
    use serde_json::json;

    #[test]
    fn every_operation_and_schema_is_on_the_page() {
        let document = super::super::document();
        let page = render(&document);
        for route in ROUTES {
            assert!(page.contains(&escape(route.path)) && page.contains(&escape(route.summary)));
        }
        for (name, _) in members(&document["components"]["schemas"]) {
            assert!(page.contains(&format!("id=\"schema-{name}\"")), "{name}");
        }
        assert_eq!(page.matches("<details").count(), page.matches("</details>").count());
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        let page = render(&super::super::document());
        for part in ["<script", "src=", "href=\"http", "url(", "@import", "<link", "<iframe", " style=\""] {
            assert!(!page.contains(part), "{part}");
        }
    }

    #[test]
    fn what_the_document_says_is_text() {
        let evil = "\"><script>alert('1')</script>&";
        let document = json!({
            "info": {"title": evil, "version": evil, "description": evil},
            "paths": {evil: {evil: {
                "summary": evil, "tags": [evil],
                "parameters": [{"name": evil, "in": evil, "description": evil, "schema": {"enum": [evil]}}],
                "requestBody": {"content": {evil: {"schema": {"$ref": evil}}}},
                "responses": {evil: {"content": {evil: {"schema": {"type": evil}}}}},
            }}},
            "components": {"schemas": {evil: {"type": evil}}},
        });
        let page = render(&document);
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;"));
    }
}
