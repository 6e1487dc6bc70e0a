//! Literals: shares, counts and durations, exact to the last digit.

use std::fmt;

use jiff::SignedDuration;

use super::functions::Type;

/// Parts per billion in the whole.
const WHOLE: u32 = 1_000_000_000;
/// Longest duration that can be written: 100 years.
const DAYS_MAX: i128 = 36_500;
/// Decimals that a number may have; inside, numbers are counted in units of this many decimals.
const DECIMALS: usize = 9;
const SCALE: i128 = 1_000_000_000;

/// Units of time from the longest to the shortest, in nanoseconds.
const UNITS: [(&str, i128); 7] = [
    ("d", 86_400 * SCALE),
    ("h", 3_600 * SCALE),
    ("m", 60 * SCALE),
    ("s", SCALE),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A part of a whole, in parts per billion: 0 to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share(u32);

impl Share {
    pub(super) const NOTHING: Self = Self(0);
    pub(super) const EVERYTHING: Self = Self(WHOLE);

    /// What is left of the whole.
    pub(super) const fn rest(self) -> Self {
        Self(WHOLE.saturating_sub(self.0))
    }

    /// How `part` of `whole` compares with this share, exactly.
    pub(super) fn order(self, part: u64, whole: u64) -> std::cmp::Ordering {
        (i128::from(part) * i128::from(WHOLE)).cmp(&(i128::from(self.0) * i128::from(whole)))
    }

    /// From a number of per cent in units of 10^-9 per cent.
    fn from_scaled_percent(scaled: i128) -> Result<Self, Refusal> {
        if scaled % 100 != 0 {
            return Err(Refusal::new("a share has at most 7 decimals"));
        }
        let parts = u32::try_from(scaled / 100).ok().filter(|parts| *parts <= WHOLE);
        parts
            .map(Self)
            .ok_or_else(|| Refusal::new("a share is never more than 100%"))
    }

    /// The percentile that `p95` or `p99.9` names, as the share of values at or below it.
    pub(super) fn from_percentile(word: &str) -> Option<Result<Self, Refusal>> {
        let digits = word.strip_prefix('p')?;
        digits.starts_with(|first: char| first.is_ascii_digit()).then_some(())?;
        let known = "percentiles are p50, p95, p99, p99.9 and the like";
        let refused = || Refusal::new(format!("`{word}` is no percentile")).help(known);
        let share = scaled(digits)
            .and_then(Self::from_scaled_percent)
            .map_err(|_| refused());
        Some(share.and_then(|share| match share {
            Self::NOTHING => Err(refused()),
            Self::EVERYTHING => Err(refused().help("for the slowest request write `share(…, over = 300ms, …) > 0%`")),
            inner => Ok(inner),
        }))
    }

    /// `part` of `whole` in per cent, for people: three digits that count, rounded. A `whole` of 0 gives `0`.
    pub(super) fn percent_of(part: u64, whole: u64) -> String {
        let (part, whole) = (u128::from(part), u128::from(whole).max(1));
        let mut decimals = 0_usize;
        let mut factor: u128 = 100;
        while part > 0 && part * factor < 100 * whole && decimals < DECIMALS {
            factor *= 10;
            decimals += 1;
        }
        let rounded = (part * factor + whole / 2) / whole;
        let unit = factor / 100;
        // All but one is not all.
        let rounded = if part < whole {
            rounded.min(100 * unit - 1)
        } else {
            rounded
        };
        if decimals == 0 {
            return rounded.to_string();
        }
        let text = format!("{}.{:0decimals$}", rounded / unit, rounded % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// The digits in front of `%`.
    pub(super) fn percent(self) -> String {
        let (whole, part) = (self.0 / 10_000_000, self.0 % 10_000_000);
        if part == 0 {
            whole.to_string()
        } else {
            format!("{whole}.{part:07}").trim_end_matches('0').to_owned()
        }
    }
}

/// A value as it is written in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Share(Share),
    Count(u64),
    Duration(SignedDuration),
}

impl Literal {
    pub(super) const fn of_type(self) -> Type {
        match self {
            Self::Share(_) => Type::Share,
            Self::Count(_) => Type::Count,
            Self::Duration(_) => Type::Duration,
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(formatter, "{}%", share.percent()),
            Self::Count(count) => write!(formatter, "{count}"),
            Self::Duration(duration) => formatter.write_str(&written(*duration)),
        }
    }
}

/// Why a text is no literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Is this a unit of a literal?
pub(super) fn is_unit(word: &str) -> bool {
    word == "%" || unit_ns(word).is_some()
}

fn unit_ns(word: &str) -> Option<i128> {
    let plain = if matches!(word, "µs" | "μs") { "us" } else { word };
    UNITS.iter().find(|(name, _)| *name == plain).map(|(_, ns)| *ns)
}

/// Reads `1%`, `0.5%`, `100`, `10_000`, `300ms`, `1.5h` or `1h30m`.
pub(super) fn read(text: &str) -> Result<Literal, Refusal> {
    let parts = split(text);
    match parts.as_slice() {
        [(digits, "")] => count(digits),
        [(digits, "%")] => scaled(digits).and_then(Share::from_scaled_percent).map(Literal::Share),
        _ => duration(text, &parts).map(Literal::Duration),
    }
}

fn count(digits: &str) -> Result<Literal, Refusal> {
    if !digits.contains('.') {
        let plain = digits.replace('_', "");
        return plain
            .parse()
            .map(Literal::Count)
            .map_err(|_| Refusal::new(format!("`{digits}` is too large")));
    }
    let value = scaled(digits)?;
    let refusal = Refusal::new(format!("`{digits}` has no unit"));
    Err(match value.checked_mul(100).map(Share::from_scaled_percent) {
        Some(Ok(share)) if value > 0 => refusal.help(format!("write `{}%` for a share", share.percent())),
        _ => refusal.help("a count is a whole number; units are %, ms, s, m, h and d"),
    })
}

fn duration(text: &str, parts: &[(&str, &str)]) -> Result<SignedDuration, Refusal> {
    let mut total_ns: i128 = 0;
    let mut last = i128::MAX;
    for (digits, unit) in parts {
        let Some(unit_ns) = unit_ns(unit) else {
            return Err(unknown_unit(text, unit));
        };
        if unit_ns >= last {
            return Err(Refusal::new(format!("the units of `{text}` are out of order"))
                .help("write the longest first: `1h30m`"));
        }
        last = unit_ns;
        let scaled_ns = scaled(digits)?.saturating_mul(unit_ns);
        if scaled_ns % SCALE != 0 {
            return Err(Refusal::new(format!("`{text}` is finer than a nanosecond")));
        }
        total_ns = total_ns.saturating_add(scaled_ns / SCALE);
    }
    let longest_ns = DAYS_MAX * 86_400 * SCALE;
    let parts = (i64::try_from(total_ns / SCALE), i32::try_from(total_ns % SCALE));
    match parts {
        (Ok(seconds), Ok(rest_ns)) if total_ns <= longest_ns => Ok(SignedDuration::new(seconds, rest_ns)),
        _ => Err(Refusal::new(format!("`{text}` is longer than {DAYS_MAX}d"))),
    }
}

fn unknown_unit(text: &str, unit: &str) -> Refusal {
    let refusal = Refusal::new(format!("`{text}` is no number with a unit"));
    match unit {
        "" => refusal.help("every number needs its unit: `1h30m`"),
        "w" => refusal.help("there is no week: write `7d`"),
        "min" | "mins" | "minute" | "minutes" => refusal.help("write `m` for minutes"),
        "sec" | "secs" | "second" | "seconds" => refusal.help("write `s` for seconds"),
        "hr" | "hrs" | "hour" | "hours" => refusal.help("write `h` for hours"),
        "day" | "days" | "D" => refusal.help("write `d` for days"),
        "M" => refusal.help("write `m` for minutes"),
        _ if unit.chars().all(char::is_alphabetic) => refusal.help("units are %, ns, us, ms, s, m, h and d"),
        _ => refusal.help(format!("a name that starts with a digit needs quotes: `\"{text}\"`")),
    }
}

/// Splits `1h30m` into its numbers and units.
fn split(text: &str) -> Vec<(&str, &str)> {
    let is_digit = |c: char| c.is_ascii_digit() || matches!(c, '.' | '_');
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, tail) = rest.split_at(rest.find(|c| !is_digit(c)).unwrap_or(rest.len()));
        let (unit, tail) = tail.split_at(tail.find(is_digit).unwrap_or(tail.len()));
        parts.push((digits, unit));
        rest = tail;
    }
    parts
}

/// A decimal number in units of 10^-9.
fn scaled(digits: &str) -> Result<i128, Refusal> {
    let plain = digits.replace('_', "");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(Refusal::new(format!("`{digits}` is no number")));
    }
    if whole.len() > 18 {
        return Err(Refusal::new(format!("`{digits}` is too large")));
    }
    if fraction.len() > DECIMALS {
        return Err(Refusal::new(format!("`{digits}` has more than {DECIMALS} decimals")));
    }
    let number = |part: &str| {
        part.parse::<i128>()
            .map_err(|_| Refusal::new(format!("`{digits}` is no number")))
    };
    Ok(number(whole)? * SCALE + number(&format!("{fraction:0<DECIMALS$}"))?)
}

/// A duration as the language writes it, exactly: `5m`, `26h`, `300ms`, `1h1s`.
pub(super) fn written(duration: SignedDuration) -> String {
    let mut rest = duration.as_nanos().abs();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::from(if duration.is_negative() { "-" } else { "" });
    // One unit reads best, as long as the number stays short.
    if let Some((unit, ns)) = UNITS
        .iter()
        .find(|(_, ns)| rest % ns == 0)
        .filter(|(_, ns)| rest / ns < 1000)
    {
        return format!("{text}{}{unit}", rest / ns);
    }
    for (unit, ns) in UNITS {
        if rest / ns > 0 {
            text.push_str(&(rest / ns).to_string());
            text.push_str(unit);
        }
        rest %= ns;
    }
    text
}
