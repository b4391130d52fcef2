//! Macros that keep the wire types short: a struct with its JSON names, an enum with its words, an id.

/// A struct of the wire: each field names its JSON key. Absent and `null` fields take their default. The crate that uses it needs `serde`.
#[macro_export]
macro_rules! wire {
    ($($(#[$m:meta])* $vis:vis struct $name:ident { $($(#[$fm:meta])* $json:literal $field:ident : $ty:ty),* $(,)? })*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        #[allow(missing_docs, reason = "the JSON name beside each field is the wire's own; units stand where they are not plain")]
        $vis struct $name { $($(#[$fm])* #[serde(rename = $json)] pub $field: $ty),* }
    )*};
}

/// An enum written as a string on the wire. The first variant is the default and also stands for the empty string.
macro_rules! words {
    ($($(#[$m:meta])* pub enum $name:ident { $first:ident = $fword:literal $(, $variant:ident = $word:literal)* $(,)? })*) => {$(
        $(#[$m])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each variant is the word that it writes")]
        pub enum $name { #[default] $first $(, $variant)* }
        impl $name {
            /// All variants, in order.
            pub const ALL: &'static [$name] = &[$name::$first $(, $name::$variant)*];
            const WORDS: &'static [&'static str] = &[$fword $(, $word)*];
            /// The word on the wire.
            pub fn as_str(self) -> &'static str { match self { $name::$first => $fword $(, $name::$variant => $word)* } }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }
        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(s: &str) -> Result<Self, String> {
                match s {
                    "" | $fword => Ok($name::$first),
                    $($word => Ok($name::$variant),)*
                    other => Err(format!("unknown value {other:?}, expected one of: {}", Self::WORDS.join(", "))),
                }
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(self.as_str()) }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(d)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

/// An identifier: an immutable string that is cheap to clone, with a type of its own.
macro_rules! id {
    ($($(#[$m:meta])* pub struct $name:ident;)*) => {$(
        $(#[$m])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(std::sync::Arc<str>);
        impl $name {
            /// Wraps a string; no check is made here (see `validate`).
            pub fn new(s: impl AsRef<str>) -> Self { Self(s.as_ref().into()) }
            /// The text of the identifier.
            pub fn as_str(&self) -> &str { &self.0 }
            /// True for the empty identifier, which means "none" on the wire.
            pub fn is_empty(&self) -> bool { self.0.is_empty() }
        }
        impl Default for $name { fn default() -> Self { Self::new("") } }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{:?}", &*self.0) }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.0) }
        }
        impl From<&str> for $name { fn from(s: &str) -> Self { Self::new(s) } }
        impl From<String> for $name { fn from(s: String) -> Self { Self(s.into()) } }
        impl AsRef<str> for $name { fn as_ref(&self) -> &str { &self.0 } }
        impl std::borrow::Borrow<str> for $name { fn borrow(&self) -> &str { &self.0 } }
        impl PartialEq<str> for $name { fn eq(&self, other: &str) -> bool { &*self.0 == other } }
        impl PartialEq<&str> for $name { fn eq(&self, other: &&str) -> bool { &*self.0 == *other } }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(&self.0) }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(d).map(|s| Self(s.as_ref().into()))
            }
        }
    )*};
}
