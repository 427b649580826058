//! Deserializes structs in bodies from JSON objects only. Serde would also accept a list for the fields of a struct, in
//! their order, which is no part of an API.

use domain::json::Json;
use serde::Serialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A struct that is read from an object.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}

/// An object whose fields the server does not read. It stays text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnyObject(Json);

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnyObject, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let unexpected = |found| Err(D::Error::invalid_type(found, &"a map"));
        match json.text().as_bytes() {
            [b'{', ..] => Ok(AnyObject(json)),
            [b'[', ..] => unexpected(Unexpected::Seq),
            [b'"', ..] => unexpected(Unexpected::Other("string")),
            [b't' | b'f', ..] => unexpected(Unexpected::Other("boolean")),
            [b'n', ..] => unexpected(Unexpected::Unit),
            _ => unexpected(Unexpected::Other("number")),
        }
    }
}

/// For `deserialize_with`: an object.
///
/// # Errors
/// The deserializer's error for any other value.
pub fn one<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Object::<T>::deserialize(deserializer)?.0)
}

/// For `deserialize_with`: an object, or `null`.
///
/// # Errors
/// The deserializer's error for any other value.
pub fn maybe<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|object| object.0))
}

/// For `deserialize_with`: a list of objects.
///
/// # Errors
/// The deserializer's error for any other value.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Object<T>>::deserialize(deserializer)?.into_iter().map(|object| object.0).collect())
}

/// For `deserialize_with`: a list of objects, or `null`.
///
/// # Errors
/// The deserializer's error for any other value.
pub fn maybe_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let list = Option::<Vec<Object<T>>>::deserialize(deserializer)?;
    Ok(list.map(|list| list.into_iter().map(|object| object.0).collect()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, from_value, json};

    #[derive(Debug, PartialEq, Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        a: Option<u8>,
    }

    #[derive(Debug, PartialEq, Default, Deserialize)]
    #[serde(default)]
    struct Outer {
        #[serde(deserialize_with = "super::maybe")]
        maybe: Option<Inner>,
        #[serde(deserialize_with = "super::list")]
        list: Vec<Inner>,
        #[serde(deserialize_with = "super::maybe_list")]
        maybe_list: Option<Vec<Inner>>,
    }

    #[test]
    fn a_list_is_not_an_object() {
        let read = |value: Value| from_value::<Outer>(value);
        let inner = || Inner { a: Some(1) };
        let all = json!({ "maybe": { "a": 1 }, "list": [{ "a": 1 }], "maybe_list": [{ "a": 1 }] });
        let expected = Outer { maybe: Some(inner()), list: vec![inner()], maybe_list: Some(vec![inner()]) };
        assert_eq!(read(all).unwrap(), expected);
        assert_eq!(read(json!({ "maybe": null, "maybe_list": null })).unwrap(), Outer::default());
        for wrong in [
            json!({ "maybe": [] }),
            json!({ "maybe": [1] }),
            json!({ "list": [[1]] }),
            json!({ "list": null }),
            json!({ "maybe_list": [[]] }),
            json!({ "maybe_list": {} }),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
