//! The rule language: what `when` and `clear` of an alert say.
//!
//! ```text
//! error_rate(shop, 5m) > 1% and requests(shop, 5m) >= 100
//! not up(shop)
//! age(proved(nightly)) > 26h or expires(shop) < 14d
//! ```
//!
//! A condition is true, false or unknown. Unknown is never taken for either: it holds the state of an alert.
//! Names are resolved and types are checked when a text is read ([`parse`]), so that a rule that was loaded asks only about what exists.
//! Everything is exact: a share is a pair of counts and is compared with the limit by cross multiplication.
//!
//! ```text
//! or         = and { "or" and }
//! and        = not { "and" not }
//! not        = "not" not | comparison
//! comparison = operand [ ( ">" | ">=" | "<" | "<=" | "==" | "!=" ) operand ]        one of the two is a literal
//! operand    = "(" or ")" | call | literal
//! call       = word "(" [ argument { "," argument } ] ")"                           the functions: [`functions`]
//! argument   = [ word "=" ] ( word | quoted | literal | call )
//! literal    = 1% | 100 | 300ms | 1h30m                                             units: % ns us ms s m h d
//! ```

mod arguments;
mod check;
mod error;
mod evidence;
mod explain;
mod expression;
mod functions;
mod lexer;
mod literal;
mod names;
mod needs;
mod syntax;
mod truth;

pub use self::{
    check::parse,
    error::LanguageError,
    evidence::{Evidence, Unknown},
    explain::Leaf,
    expression::Expression,
    functions::{Function, Parameter, ParameterKind, Type, functions},
    names::Names,
    needs::Needs,
    truth::Truth,
};

/// Longest text of one expression, in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Deepest nesting of parentheses, `not` and calls.
pub const NESTING_MAX: usize = 64;
/// Most errors that are told about one text.
pub const ERRORS_MAX: usize = 16;
/// Shortest window over which something is counted.
pub const WINDOW_MIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);
/// Longest window over which something is counted: 7 days.
pub const WINDOW_MAX: jiff::SignedDuration = jiff::SignedDuration::from_secs(7 * 24 * 3600);
/// Longest latency that can be a limit: 1 day.
pub const LATENCY_MAX: jiff::SignedDuration = jiff::SignedDuration::from_secs(24 * 3600);

#[cfg(test)]
mod tests;
