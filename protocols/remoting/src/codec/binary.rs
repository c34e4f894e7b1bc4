//! The compact spelling of a header.
//!
//! ```text
//! i16 code | u8 language | i16 version | i32 opaque | i32 flag | i32 n, remark | i32 n, fields
//! field := i16 n, name | i32 n, value
//! ```
//! A text of length 0 stands for null. Codes have 16 bits here, so the six-digit ones of POP arrive cut.

use super::{CodecError, Ext, FieldValue, Head, MAX_EXT};
use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use nom::multi::length_data;
use nom::number::complete::{be_i16, be_i32, be_u8, be_u16, be_u32};
use nom::{IResult, Parser};

pub(super) fn decode(header: Bytes) -> Result<(Head, Ext), CodecError> {
    let header = ByteStrings(header);
    let (rest, (code, language, version, opaque, flag, remark)) =
        (be_i16, be_u8, be_i16, be_i32, be_i32, text).parse(&header.0).map_err(|_| cut())?;
    let (rest, mut fields) = text(rest).map_err(|_| cut())?;
    if !rest.is_empty() {
        return Err(CodecError::Header(format!("{} bytes after the fields", rest.len())));
    }
    let mut ext = Ext::default();
    while !fields.is_empty() {
        let (rest, (name, value)) = field(fields).map_err(|_| cut())?;
        fields = rest;
        if name.is_empty() || value.is_empty() {
            continue;
        }
        if ext.len() == MAX_EXT {
            return Err(CodecError::Header(format!("more than {MAX_EXT} fields")));
        }
        ext.push(header.text(name)?, header.text(value)?);
    }
    let remark = if remark.is_empty() { None } else { Some(header.text(remark)?) };
    let head = Head { code: code.into(), language, version: version.into(), opaque, flag, remark };
    Ok((head, ext))
}

fn text(input: &[u8]) -> IResult<&[u8], &[u8]> {
    length_data(be_u32).parse(input)
}

fn field(input: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    (length_data(be_u16), text).parse(input)
}

fn cut() -> CodecError {
    CodecError::Header("it is cut short".into())
}

/// The header's bytes, from which texts are sliced.
struct ByteStrings(Bytes);

impl ByteStrings {
    fn text(&self, slice: &[u8]) -> Result<ByteString, CodecError> {
        ByteString::try_from(self.0.slice_ref(slice))
            .map_err(|_| CodecError::Header("a text is not UTF-8".into()))
    }
}

pub(super) fn encode<'a, V: FieldValue + 'a>(
    out: &mut BytesMut,
    head: &Head,
    ext: impl Iterator<Item = (&'a str, &'a V)>,
) {
    out.put_i16(head.code as i16);
    out.put_u8(head.language);
    out.put_i16(head.version as i16);
    out.put_i32(head.opaque);
    out.put_i32(head.flag);
    let remark = head.remark.as_deref().unwrap_or_default();
    out.put_u32(remark.len() as u32);
    out.put_slice(remark.as_bytes());
    let length_at = out.len();
    out.put_u32(0);
    for (name, value) in ext {
        out.put_u16(name.len() as u16);
        out.put_slice(name.as_bytes());
        value.with_text(|value| {
            out.put_u32(value.len() as u32);
            out.put_slice(value.as_bytes());
        });
    }
    let length = (out.len() - length_at - 4) as u32;
    if let Some(place) = out.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}
