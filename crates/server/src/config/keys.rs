//! Every key there is, found by walking the defaults.
//!
//! Unknown keys must be told apart from known ones, and the nearest known one be named; optional keys are known, too,
//! though the defaults hold no value for them. The one idea to know: this is a serializer that keeps the names of
//! fields and throws the values away, so a key that a crate adds to its `Config` is known the same day.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Impossible, SerializeStruct, Serializer};

/// The dotted paths of all settings, in the order of their declaration.
pub(crate) fn all_keys(config: &impl Serialize) -> Vec<String> {
    let mut keys = Vec::new();
    // Fails only on what is no struct of settings; then there are no keys, which every test notices.
    let _ = config.serialize(Walk { path: String::new(), keys: &mut keys });
    keys
}

/// At one place in the tree.
struct Walk<'a> {
    path: String,
    keys: &'a mut Vec<String>,
}

impl Walk<'_> {
    fn leaf(self) -> Result<(), Never> {
        self.keys.push(self.path);
        Ok(())
    }

    fn below(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl SerializeStruct for Walk<'_> {
    type Ok = ();
    type Error = Never;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Result<(), Never> {
        value.serialize(Walk { path: self.below(name), keys: self.keys })
    }

    /// A field that is left out because it has no value is a key all the same.
    fn skip_field(&mut self, name: &'static str) -> Result<(), Never> {
        let path = self.below(name);
        self.keys.push(path);
        Ok(())
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

/// The error that does not happen on the way to a name.
#[derive(Debug)]
pub(crate) struct Never(String);

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

macro_rules! leaves {
    ($($method:ident($type:ty)),* $(,)?) => {
        $(fn $method(self, _: $type) -> Result<(), Never> {
            self.leaf()
        })*
    };
}

/// Lists, maps and everything that is not a struct with named fields is one key.
impl<'a> Serializer for Walk<'a> {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Leaf;
    type SerializeTuple = Impossible<(), Never>;
    type SerializeTupleStruct = Impossible<(), Never>;
    type SerializeTupleVariant = Impossible<(), Never>;
    type SerializeMap = Leaf;
    type SerializeStruct = Walk<'a>;
    type SerializeStructVariant = Impossible<(), Never>;

    leaves! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_f32(f32),
        serialize_f64(f64), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str),
    }

    fn serialize_none(self) -> Result<(), Never> {
        self.leaf()
    }

    fn serialize_unit(self) -> Result<(), Never> {
        self.leaf()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Never> {
        self.leaf()
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Never> {
        self.leaf()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Leaf, Never> {
        self.leaf().map(|()| Leaf)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Leaf, Never> {
        self.leaf().map(|()| Leaf)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Walk<'a>, Never> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Never> {
        Err(ser::Error::custom("a tuple is no setting"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Never> {
        Err(ser::Error::custom("a tuple is no setting"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Never> {
        Err(ser::Error::custom("a tuple is no setting"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Never> {
        Err(ser::Error::custom("a variant with fields is no setting"))
    }
}

/// The inside of a list or a map, which is not looked at.
pub(crate) struct Leaf;

impl ser::SerializeSeq for Leaf {
    type Ok = ();
    type Error = Never;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Never> {
        Ok(())
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl ser::SerializeMap for Leaf {
    type Ok = ();
    type Error = Never;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Never> {
        Ok(())
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}
