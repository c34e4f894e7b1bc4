//! The JSON spelling of a header.
//!
//! Reading is lenient as the clients in the field are: members in any order, unknown ones, nulls, numbers and booleans
//! where texts belong. Writing is strict, because Go clients drop a frame whose field values are not all strings.

use super::{CodecError, Ext, FieldValue, Head, MAX_EXT, language_name, language_number};
use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor,
};
use std::borrow::Cow;
use std::fmt::{self, Write};

pub(super) fn decode(header: Bytes) -> Result<(Head, Ext), CodecError> {
    let header = ByteString::try_from(header).map_err(|_| CodecError::Header("it is not UTF-8".into()))?;
    let mut deserializer = serde_json::Deserializer::from_str(&header);
    let object = Members(&header).deserialize(&mut deserializer);
    let object = object.and_then(|object| deserializer.end().map(|()| object));
    let object = object.map_err(|e| CodecError::Header(e.to_string()))?;
    let head = Head {
        code: object.code,
        language: object.language.map_or(super::OTHER, |l| language_number(&l)),
        version: object.version,
        opaque: object.opaque,
        flag: object.flag,
        remark: object.remark.filter(|r| !r.is_empty()).map(|text| shared(&header, text)),
    };
    Ok((head, Ext(object.ext)))
}

/// A text as a slice of the header. The shortest, which are most of a send's, need not hold on to it.
fn shared(header: &ByteString, text: Cow<'_, str>) -> ByteString {
    const DIGITS: &str = "0123456789";
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
    let one_of = |all: &'static str, at: u8| all.get(usize::from(at)..=usize::from(at)).unwrap_or_default();
    match text {
        Cow::Borrowed(text) => match text.as_bytes() {
            [] => ByteString::new(),
            [digit @ b'0'..=b'9'] => ByteString::from_static(one_of(DIGITS, digit - b'0')),
            [letter @ b'a'..=b'z'] => ByteString::from_static(one_of(LETTERS, letter - b'a')),
            _ => header.slice_ref(text),
        },
        Cow::Owned(text) => ByteString::from(text),
    }
}

#[derive(Default)]
struct Object<'a> {
    code: i32,
    language: Option<Cow<'a, str>>,
    version: i32,
    opaque: i32,
    flag: i32,
    remark: Option<Cow<'a, str>>,
    ext: Vec<(ByteString, ByteString)>,
}

/// Reads the members of the header, which is at hand so that texts can be slices of it.
struct Members<'h>(&'h ByteString);

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = Object<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Object<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut object = Object::default();
        while let Some(Text(Some(name))) = map.next_key()? {
            match &*name {
                "code" => object.code = map.next_value::<Number>()?.0,
                "version" => object.version = map.next_value::<Number>()?.0,
                "opaque" => object.opaque = map.next_value::<Number>()?.0,
                "flag" => object.flag = map.next_value::<Number>()?.0,
                "language" => object.language = map.next_value::<Text<'de>>()?.0,
                "remark" => object.remark = map.next_value::<Text<'de>>()?.0,
                "extFields" => object.ext = map.next_value_seed(Fields(self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(object)
    }
}

/// A number of 32 bits, or a text that says one; null is 0.
struct Number(i32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of 32 bits")
            }
            fn visit_i64<E: Error>(self, n: i64) -> Result<Number, E> {
                i32::try_from(n).map(Number).map_err(|_| E::invalid_value(Unexpected::Signed(n), &self))
            }
            fn visit_u64<E: Error>(self, n: u64) -> Result<Number, E> {
                i32::try_from(n).map(Number).map_err(|_| E::invalid_value(Unexpected::Unsigned(n), &self))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
            fn visit_unit<E: Error>(self) -> Result<Number, E> {
                Ok(Number(0))
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

/// Reads the extension fields; null is none.
struct Fields<'h>(&'h ByteString);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Vec<(ByteString, ByteString)>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<(ByteString, ByteString)>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(16);
        while let Some((Text(name), Text(value))) = map.next_entry()? {
            if fields.len() == MAX_EXT {
                return Err(A::Error::custom(format!("more than {MAX_EXT} fields")));
            }
            if let (Some(name), Some(value)) = (name, value) {
                fields.push((shared(self.0, name), shared(self.0, value)));
            }
        }
        Ok(fields)
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
    out.put_slice(before.as_bytes());
    out.put_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Where the first byte is that JSON does not take as it is.
fn first_special(text: &[u8]) -> Option<usize> {
    const AT_ONCE: usize = 16;
    let is_special = |b: &u8| *b < 0x20 || *b == b'"' || *b == b'\\';
    // Most texts have none: many bytes together, without a branch for each.
    let has_none = |bytes: &&[u8]| !bytes.iter().fold(false, |any, b| any | is_special(b));
    let plain = AT_ONCE * text.chunks_exact(AT_ONCE).take_while(has_none).count();
    text.get(plain..)?.iter().position(is_special).map(|at| plain + at)
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes()) {
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
