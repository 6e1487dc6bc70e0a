//! One enum for each family of extensions, with the configuration key as the kind.

/// Lists the kinds of a family: the configuration key is the kind (`check.http = { … }`), and a new kind is its file,
/// its `mod` and its line here.
///
/// Generates an enum with a variant for each kind, which derives `Clone`, `Debug`, `Deserialize` and `JsonSchema`, with
/// - `KINDS: &[&str]`, the keys in order,
/// - `kind(&self) -> &'static str`, the key,
/// - `as_dyn(&self) -> &(dyn Family)`, what the family can do.
///
/// Each kind's type has to be `Clone + Debug + Deserialize + JsonSchema + Family`. Modules are not declared in here, as
/// rustfmt does not look into macros.
///
/// ```
/// # use schemars::JsonSchema;
/// # use serde::Deserialize;
/// trait Greeting { fn greet(&self) -> String; }
///
/// #[derive(Clone, Debug, Deserialize, JsonSchema)]
/// struct Hello { name: String }
/// impl Greeting for Hello { fn greet(&self) -> String { format!("hello {}", self.name) } }
///
/// config::kinds! {
///     /// How somebody is greeted.
///     enum Greet: dyn Greeting {
///         /// With a word.
///         Hello = "hello": Hello,
///     }
/// }
///
/// #[derive(Deserialize)]
/// struct Settings { greet: Greet }
/// let source = config::Source::new("demo.toml", "greet.hello = { name = \"Ada\" }");
/// let settings: Settings = config::load(&source).unwrap();
/// assert_eq!(settings.greet.kind(), "hello");
/// assert_eq!(settings.greet.as_dyn().greet(), "hello Ada");
/// assert_eq!(Greet::KINDS, ["hello"]);
/// ```
#[macro_export]
macro_rules! kinds {
    (
        $(#[$about:meta])*
        $visibility:vis enum $family:ident: dyn $behaviour:path {
            $( $(#[$kind_about:meta])* $variant:ident = $key:literal: $settings:ty ),+ $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(
            ::core::clone::Clone,
            ::core::fmt::Debug,
            $crate::macro_support::serde::Deserialize,
            $crate::macro_support::schemars::JsonSchema,
        )]
        #[serde(crate = "::config::macro_support::serde")]
        #[schemars(crate = "::config::macro_support::schemars")]
        $visibility enum $family {
            $(
                $(#[$kind_about])*
                #[serde(rename = $key)]
                $variant($settings),
            )+
        }

        impl $family {
            /// The configuration keys of all kinds.
            $visibility const KINDS: &'static [&'static str] = &[$($key),+];

            /// The configuration key of this kind.
            #[must_use]
            $visibility fn kind(&self) -> &'static str {
                match self {
                    $( Self::$variant(_) => $key, )+
                }
            }

            /// What this kind can do.
            #[must_use]
            $visibility fn as_dyn(&self) -> &(dyn $behaviour) {
                match self {
                    $( Self::$variant(settings) => settings, )+
                }
            }
        }
    };
}
