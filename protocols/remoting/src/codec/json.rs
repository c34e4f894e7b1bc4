//! The JSON spelling of a header.
//!
//! Reading is lenient as the clients in the field are: members in any order, unknown ones, nulls, numbers and booleans
//! where texts belong. Writing is strict, because Go clients drop a frame whose field values are not all strings.

use super::{CodecError, Ext, FieldValue, Head, MAX_EXT, language_name, language_number};
use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt::{self, Write};

pub(super) fn decode(header: Bytes) -> Result<(Head, Ext), CodecError> {
    let header = ByteString::try_from(header).map_err(|_| CodecError::Header("it is not UTF-8".into()))?;
    let object: Object<'_> = serde_json::from_str(&header).map_err(|e| CodecError::Header(e.to_string()))?;
    let shared = |text: Cow<'_, str>| match text {
        Cow::Borrowed(text) => header.slice_ref(text),
        Cow::Owned(text) => ByteString::from(text),
    };
    let ext = Ext(object.ext.into_iter().map(|(name, value)| (shared(name), shared(value))).collect());
    let head = Head {
        code: object.code,
        language: object.language.map_or(super::OTHER, |l| language_number(&l)),
        version: object.version,
        opaque: object.opaque,
        flag: object.flag,
        remark: object.remark.filter(|r| !r.is_empty()).map(shared),
    };
    Ok((head, ext))
}

#[derive(Default)]
struct Object<'a> {
    code: i32,
    language: Option<Cow<'a, str>>,
    version: i32,
    opaque: i32,
    flag: i32,
    remark: Option<Cow<'a, str>>,
    ext: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a header object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object::default();
                while let Some(Text(Some(name))) = map.next_key()? {
                    match &*name {
                        "code" => object.code = number(map.next_value()?)?,
                        "version" => object.version = number(map.next_value()?)?,
                        "opaque" => object.opaque = number(map.next_value()?)?,
                        "flag" => object.flag = number(map.next_value()?)?,
                        "language" => object.language = map.next_value::<Text<'de>>()?.0,
                        "remark" => object.remark = map.next_value::<Text<'de>>()?.0,
                        "extFields" => object.ext = map.next_value::<Fields<'de>>()?.0,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn number<E: Error>(text: Text<'_>) -> Result<i32, E> {
    text.0.map_or(Ok(0), |t| t.parse().map_err(|_| E::custom(format!("{t:?} is not a number of 32 bits"))))
}

struct Fields<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }
            fn visit_unit<E: Error>(self) -> Result<Fields<'de>, E> {
                Ok(Fields(Vec::new()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some((Text(name), Text(value))) = map.next_entry()? {
                    if fields.len() == MAX_EXT {
                        return Err(A::Error::custom(format!("more than {MAX_EXT} fields")));
                    }
                    if let (Some(name), Some(value)) = (name, value) {
                        fields.push((name, value));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_any(Members)
    }
}

/// Any scalar, as text; null is nothing. What is borrowed is a slice of the header, and nothing else.
struct Text<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl<'de> Visitor<'de> for Scalar {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, a boolean or null")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_i64<E: Error>(self, n: i64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(n.to_string()))))
            }
            fn visit_u64<E: Error>(self, n: u64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(n.to_string()))))
            }
            fn visit_f64<E: Error>(self, n: f64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(n.to_string()))))
            }
            fn visit_bool<E: Error>(self, b: bool) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(b.to_string()))))
            }
            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

pub(super) fn encode<'a, V: FieldValue + 'a>(
    out: &mut BytesMut,
    head: &Head,
    ext: impl Iterator<Item = (&'a str, &'a V)>,
) {
    put_number(out, "{\"code\":", head.code);
    out.put_slice(b",\"extFields\":{");
    for (at, (name, value)) in ext.enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        put_text(out, name);
        out.put_u8(b':');
        value.with_text(|value| put_text(out, value));
    }
    put_number(out, "},\"flag\":", head.flag);
    out.put_slice(b",\"language\":\"");
    out.put_slice(language_name(head.language).as_bytes());
    put_number(out, "\",\"opaque\":", head.opaque);
    if let Some(remark) = &head.remark {
        out.put_slice(b",\"remark\":");
        put_text(out, remark);
    }
    put_number(out, ",\"version\":", head.version);
    out.put_u8(b'}');
}

fn put_number(out: &mut BytesMut, before: &str, n: i32) {
    // Writing to memory does not fail.
    let _ = write!(out, "{before}{n}");
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| b < 0x20 || b == b'"' || b == b'\\') {
        let (plain, special) = rest.split_at(at);
        out.put_slice(plain.as_bytes());
        let byte = special.bytes().next().unwrap_or_default();
        let _ = match byte {
            b'"' | b'\\' => write!(out, "\\{}", char::from(byte)),
            control => write!(out, "\\u{control:04x}"),
        };
        rest = special.get(1..).unwrap_or_default();
    }
    out.put_slice(rest.as_bytes());
    out.put_u8(b'"');
}
