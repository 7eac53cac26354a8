//! Structures that are read from JSON objects alone.

/// Implements `Deserialize` for types with `#[serde(remote = "Self")]`: the derived implementation would also take an array
/// with the values of the fields, which Go's reader, and so every runtime, refuses.
macro_rules! from_objects {
    ($($kind:ident),+) => {$(
        impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;

                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $kind;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$kind, A::Error> {
                        // The derived function, which is not the trait's.
                        $kind::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    }
                }

                deserializer.deserialize_map(Object)
            }
        }
    )+};
}

pub(super) use from_objects;
