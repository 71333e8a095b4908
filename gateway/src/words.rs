//! Enums whose values are words in the database, in files and in answers: each word stands once, beside its value.

/// An enum with its words: `ALL`, `WORDS`, `as_str` and `parse`.
macro_rules! word_enum {
    ($(#[$of_all:meta])* $name:ident { $($(#[$of_one:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$of_all])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$of_one])* $value,)+
        }

        impl $name {
            pub const ALL: [Self; Self::WORDS.len()] = [$(Self::$value,)+];
            pub const WORDS: &'static [&'static str] = &[$($word,)+];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }

            /// `None` for a word that no version wrote.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.as_str() == word)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": Self::WORDS })
            }
        }
    };
}

pub(crate) use word_enum;

#[cfg(test)]
mod tests {
    word_enum! {
        /// Two words, and no others.
        Light {
            On = "on",
            AllOff = "all-off",
        }
    }

    #[test]
    fn words_are_read_as_they_were_written() {
        assert_eq!(Light::ALL.map(Light::as_str), ["on", "all-off"]);
        assert_eq!(Light::WORDS, ["on", "all-off"]);
        assert_eq!(["on", "all-off", "off"].map(Light::parse), [Some(Light::On), Some(Light::AllOff), None]);
    }
}
