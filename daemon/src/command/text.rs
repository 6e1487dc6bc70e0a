//! Text for a terminal: made harmless, measured, cut and wrapped. Whatever came from outside passes [`plain`].

use events::Timestamp;
use jiff::SignedDuration;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands for a character that a terminal must not see.
const NEUTRAL: char = '\u{fffd}';

/// Characters that move the cursor, end the line, change the direction of writing, or show nothing at all: with them
/// a log line could draw over what stands above it, or read otherwise than it is.
fn is_harmful(c: char) -> bool {
    let turns = matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hides = matches!(c, '\u{00ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    let ends = matches!(c, '\u{2028}' | '\u{2029}');
    let private = matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{206a}'..='\u{206f}');
    c.is_control() || turns || hides || ends || private
}

/// One harmless line: white space of any kind becomes a blank.
pub(crate) fn plain(text: &str) -> String {
    let one = |c: char| match c {
        '\t' | '\n' | '\r' => ' ',
        c if is_harmful(c) => NEUTRAL,
        c => c,
    };
    text.trim_end().chars().map(one).collect()
}

/// Harmless lines, at most so many; what is left out is said in the last one.
pub(crate) fn plain_lines(text: &str, most: usize) -> Vec<String> {
    let all: Vec<&str> = text.trim_end().split('\n').collect();
    let mut lines: Vec<String> = all.iter().take(most).map(|line| plain(line)).collect();
    let left = all.len().saturating_sub(most);
    if left > 0 {
        lines.push(format!("… {} more", counted(left as u64, "line", "lines")));
    }
    lines
}

/// The last lines of a text, as a person wants the end of an output.
pub(crate) fn last_lines(text: &str, most: usize) -> Vec<String> {
    let all: Vec<&str> = text
        .trim_end()
        .split('\n')
        .filter(|line| !line.trim().is_empty())
        .collect();
    let left = all.len().saturating_sub(most);
    let skipped = (left > 0).then(|| format!("… {} before", counted(left as u64, "line", "lines")));
    skipped
        .into_iter()
        .chain(all.iter().skip(left).map(|line| plain(line)))
        .collect()
}

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// At most so many columns; an ellipsis says that something is missing.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= columns {
            break;
        }
        kept.push(c);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// Exactly so many columns, blanks after the text.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let missing = columns.saturating_sub(width(&text));
    text + &" ".repeat(missing)
}

/// Exactly so many columns, blanks before the text.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    " ".repeat(columns.saturating_sub(width(&text))) + &text
}

/// Units that stay with their number, and the zone that stays with its time.
const UNITS: &[&str] = &[
    "%", "s", "ms", "µs", "min", "h", "d", "B", "KiB", "MiB", "GiB", "TiB", "UTC",
];

/// Whether a line must not end between two words: between a number and its unit, or a comparison and its limit.
fn bound(before: &str, after: &str) -> bool {
    let before = before.rsplit(' ').next().unwrap_or_default();
    let unit = after.trim_end_matches([',', ';', '.', ':', ')']);
    let is_number = before.ends_with(|c: char| c.is_ascii_digit());
    (is_number && UNITS.contains(&unit)) || matches!(before, ">" | ">=" | "<" | "<=" | "==" | "!=")
}

/// What a line keeps together.
struct Piece {
    text: String,
    /// Whether it is a command: never broken, so that it can be copied, even when it is wider than the page.
    whole: bool,
}

/// Commands after whose name words may follow that belong to them.
const COMMANDS: &[&str] = &[
    "ack", "actions", "alerts", "backup", "chain", "check", "deploy", "init", "jobs", "latency", "logs", "notify",
    "restore", "run", "silence", "status", "timeline", "trace", "why",
];
/// Widest command that is kept whole: beyond it, a stray backquote is more likely.
const COMMAND_MAX: usize = 160;

/// How many of these words are one command, or 0: `watchkeep` with its arguments, or what stands in backquotes.
fn command(words: &[&str]) -> usize {
    let ticks = |word: &&str| word.matches('`').count() % 2 == 1;
    let Some((first, rest)) = words.split_first() else {
        return 0;
    };
    if ticks(first) {
        return rest.iter().position(ticks).map_or(0, |end| end + 2);
    }
    let ends = |word: &str| word.ends_with([',', ';', ':', '.', ')']);
    let named = |word: &&str| COMMANDS.contains(&word.trim_end_matches([',', ';', ':', '.', ')']));
    if first.trim_start_matches('(') != "watchkeep" || !rest.first().is_some_and(named) {
        return 0;
    }
    // A name and its own command, such as `actions allow shop-rollback`; then one value for each option.
    let (mut bare, mut taken, mut is_over) = (3, 1, false);
    for word in rest {
        let is_option = word.starts_with("--");
        if is_over || word.starts_with('(') || (!is_option && bare == 0) {
            break;
        }
        bare = if is_option { 1 } else { bare - 1 };
        is_over = ends(word);
        taken += 1;
    }
    taken
}

/// Words, those of which a line must keep together as one.
fn pieces(text: &str) -> Vec<Piece> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let mut rest = words.as_slice();
    let mut pieces: Vec<Piece> = Vec::new();
    while let Some(word) = rest.first() {
        let length = command(rest);
        let together = rest.get(..length).unwrap_or_default().join(" ");
        if length > 0 && width(&together) <= COMMAND_MAX {
            pieces.push(Piece {
                text: together,
                whole: true,
            });
            rest = rest.get(length..).unwrap_or_default();
            continue;
        }
        match pieces.last_mut().filter(|last| bound(&last.text, word)) {
            Some(last) => last.text.push_str(&format!(" {word}")),
            None => pieces.push(Piece {
                text: (*word).to_owned(),
                whole: false,
            }),
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    pieces
}

/// Lines of at most so many columns, broken between words but neither within a command nor between a number and its unit; a
/// longer word is broken where it must be, a longer command has its line to itself.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = vec![String::new()];
    for Piece { text: mut rest, whole } in pieces(text) {
        while let Some(line) = lines.last_mut() {
            let gap = usize::from(!line.is_empty());
            if width(line).saturating_add(gap + width(&rest)) <= columns || (whole && gap == 0) {
                line.push_str(if gap == 1 { " " } else { "" });
                line.push_str(&rest);
                break;
            }
            if !line.is_empty() {
                lines.push(String::new());
                continue;
            }
            let (head, tail) = broken(&rest, columns);
            line.push_str(&head);
            lines.push(String::new());
            rest = tail;
        }
    }
    if lines.len() > 1 && lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn broken(word: &str, columns: usize) -> (String, String) {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= columns
    };
    let head: String = word.chars().take_while(fits).collect();
    let tail = word.chars().skip(head.chars().count()).collect();
    (head, tail)
}

/// A number with its thousands apart.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its word.
pub(crate) fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

/// A size, to three digits.
pub(crate) fn size(bytes: u64) -> String {
    let units = [
        ("TiB", 1_u64 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            if tenths >= 1000 {
                format!("{} {name}", tenths / 10)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            }
        }
    }
}

/// A duration as a person says it: its two largest parts.
pub(crate) fn lasting(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().unsigned_abs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let two = |large: u64, unit: &str, small: u64, other: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {other}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) if minutes >= 10 => format!("{minutes} min"),
        (0, 0, minutes) => two(minutes, "min", seconds % 60, "s"),
        (0, hours, minutes) => two(hours, "h", minutes, "min"),
        (days, hours, _) => two(days, "d", hours, "h"),
    }
}

/// How long something took, to three digits.
pub(crate) fn took(microseconds: u64) -> String {
    let tenths = |value: u64, unit: u64, name: &str| {
        let tenths = value.saturating_mul(10) / unit;
        if tenths >= 1000 {
            format!("{} {name}", tenths / 10)
        } else {
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    };
    match microseconds {
        0..1000 => format!("{microseconds} µs"),
        1000..1_000_000 => tenths(microseconds, 1000, "ms"),
        1_000_000..100_000_000 => tenths(microseconds, 1_000_000, "s"),
        _ => lasting(SignedDuration::from_micros(
            i64::try_from(microseconds).unwrap_or(i64::MAX),
        )),
    }
}

/// A moment: the time alone when it is of the same day as `now` (UTC), else with its date.
pub(crate) fn clock(at: Timestamp, now: Timestamp) -> String {
    if day(at) == day(now) {
        time(at)
    } else {
        format!("{} {}", day(at), time(at))
    }
}

/// The same with its zone, once in a line.
pub(crate) fn clock_utc(at: Timestamp, now: Timestamp) -> String {
    format!("{} UTC", clock(at, now))
}

/// Its day.
pub(crate) fn day(at: Timestamp) -> String {
    at.to_jiff().strftime("%Y-%m-%d").to_string()
}

/// Its time of day.
pub(crate) fn time(at: Timestamp) -> String {
    at.to_jiff().strftime("%H:%M:%S").to_string()
}

/// Its time of day to the millisecond.
pub(crate) fn time_ms(at: Timestamp) -> String {
    at.to_jiff().strftime("%H:%M:%S%.3f").to_string()
}

/// How long ago, or in how long.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let since = now.since(at);
    match since.as_secs() {
        0 => "just now".to_owned(),
        ..0 => format!("in {}", lasting(since)),
        _ => format!("{} ago", lasting(since)),
    }
}

/// A cause in words, also one that an earlier version recorded.
pub(crate) fn cause(text: &str) -> String {
    outbound::in_words(text)
}

/// The first characters of an id: enough to name it.
pub(crate) fn short(id: &str) -> String {
    plain(id).chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_harmful_passes() {
        assert_eq!(plain("\u{1b}[2J\u{1b}]0;title\u{7}gone"), "�[2J�]0;title�gone");
        assert_eq!(plain("a\r\nb\tc"), "a  b c");
        assert_eq!(plain("\u{202e}txt.exe\u{2066}x\u{200b}y\u{9b}31m"), "�txt.exe�x�y�31m");
        assert_eq!(plain("\u{feff}\u{e0041}\u{2028}."), "���.");
        assert_eq!(plain("Größe 尺寸 👍"), "Größe 尺寸 👍");
        for c in (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| is_harmful(*c)) {
            assert!(!plain(&format!("a{c}b")).contains(c) || c == ' ', "{:x}", u32::from(c));
        }
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("connection refused", 18), "connection refused");
        assert_eq!(cut("connection refused", 10), "connectio…");
        assert_eq!(cut("尺寸尺寸", 5), "尺寸…");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(padded("abc", 5), "abc  ");
        assert_eq!(right("abc", 5), "  abc");
        assert_eq!(plain_lines("a\nb\nc\nd", 2), ["a", "b", "… 2 lines more"]);
        assert_eq!(last_lines("a\nb\n\nc\n", 2), ["… 1 line before", "b", "c"]);
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("a 0123456789abcdef b", 8), ["a", "01234567", "89abcdef", "b"]);
        assert_eq!(wrapped("", 10), [""]);
        assert_eq!(wrapped("(in 23 h 33 min)", 12), ["(in 23 h", "33 min)"]);
        assert_eq!(
            wrapped("since 03:12:40 UTC, 5 MiB", 14),
            ["since", "03:12:40 UTC,", "5 MiB"]
        );
        assert_eq!(wrapped("the limit > 1%, v2 s", 11), ["the limit", "> 1%, v2 s"]);
        assert_eq!(wrapped("1 1 1 1 1 s", 8), ["1 1 1 1", "1 s"]);
    }

    #[test]
    fn a_command_is_never_broken() {
        assert_eq!(
            wrapped("nobody has taken it; watchkeep why 1b6707ab", 32),
            ["nobody has taken it;", "watchkeep why 1b6707ab"]
        );
        assert_eq!(
            wrapped("held; `watchkeep actions allow shop-restart` releases it", 20),
            ["held;", "`watchkeep actions allow shop-restart`", "releases it"]
        );
        assert_eq!(
            wrapped("see watchkeep logs --service shop --since 25m, or ask somebody", 24),
            ["see", "watchkeep logs --service shop --since 25m,", "or ask somebody"]
        );
        assert_eq!(
            wrapped("watchkeep notify test me (tries it for real)", 30),
            ["watchkeep notify test me", "(tries it for real)"]
        );
        // Its own name is no command, and a stray backquote is none either.
        assert_eq!(
            wrapped("watchkeep 0.1.0 in production", 12),
            ["watchkeep", "0.1.0 in", "production"]
        );
        assert_eq!(wrapped("it`s a stray one", 8), ["it`s a", "stray", "one"]);
    }

    #[test]
    fn figures_are_for_people() {
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(counted(1, "probe", "probes"), "1 probe");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1_288_490_188), "1.1 GiB");
        assert_eq!(size(150 << 20), "150 MiB");
        let seconds = |seconds| lasting(SignedDuration::from_secs(seconds));
        assert_eq!(
            [seconds(0), seconds(59), seconds(61), seconds(899)],
            ["0 s", "59 s", "1 min 1 s", "14 min"]
        );
        assert_eq!(
            [seconds(3600), seconds(7260), seconds(90_000)],
            ["1 h", "2 h 1 min", "1 d 1 h"]
        );
        assert_eq!(
            [took(5), took(2100), took(143_000), took(1_200_000)],
            ["5 µs", "2.1 ms", "143 ms", "1.2 s"]
        );
        assert_eq!(took(125_000_000), "2 min 5 s");
        assert_eq!(
            cause("connect to x: Connection refused (os error 111)"),
            "connect to x: Connection refused"
        );
    }

    #[test]
    fn a_moment_of_today_needs_no_date() {
        let at = |text: &str| Timestamp::from_jiff(text.parse().unwrap());
        let now = at("2026-11-21T03:30:00Z");
        assert_eq!(clock_utc(at("2026-11-21T03:12:45Z"), now), "03:12:45 UTC");
        assert_eq!(clock(at("2026-11-20T23:59:59Z"), now), "2026-11-20 23:59:59");
        assert_eq!(ago(at("2026-11-21T03:16:00Z"), now), "14 min ago");
        assert_eq!(ago(at("2026-11-21T05:30:00Z"), now), "in 2 h");
        assert_eq!(time_ms(at("2026-11-21T03:12:45.0678Z")), "03:12:45.067");
    }
}
