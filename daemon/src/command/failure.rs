//! Why a command did not do what it should, what to do about it, and the exit code that says so to scripts.

use hyper::StatusCode;
use web::Problem;

use super::text::{plain, wrapped};
use crate::client::Answered;

/// The answer is no, or something is wrong.
pub(crate) const NO: u8 = 1;
/// The command was not understood.
pub(crate) const USAGE: u8 = 2;
/// No daemon could be reached.
pub(crate) const UNREACHABLE: u8 = 3;
/// You may not do this.
pub(crate) const FORBIDDEN: u8 = 4;
/// The daemon could not do it.
pub(crate) const BROKEN: u8 = 5;

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Exit code.
    pub(crate) code: u8,
    /// What went wrong, each cause on a line of its own.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) advice: String,
}

impl Failure {
    /// A failure with its exit code.
    pub(crate) fn new(code: u8, what: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            advice: String::new(),
        }
    }

    /// The same with what to do about it.
    pub(crate) fn advice(self, advice: impl Into<String>) -> Self {
        Self {
            advice: advice.into(),
            ..self
        }
    }

    /// The output went away: nobody reads on, and nobody wants to hear of it.
    pub(crate) fn quiet() -> Self {
        Self::new(0, "")
    }

    /// From an answer that says no.
    pub(crate) fn from_answer(answered: &Answered) -> Self {
        let code = match answered.status {
            StatusCode::FORBIDDEN => FORBIDDEN,
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => NO,
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => USAGE,
            _ => BROKEN,
        };
        match serde_json::from_slice::<Problem>(&answered.body) {
            Ok(problem) => {
                let again = problem
                    .retry_after_s
                    .map_or_else(String::new, |seconds| format!("try again in {seconds} s"));
                let advice = [problem.detail, again]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("; ");
                Self::new(code, problem.title).advice(advice)
            }
            Err(_) => Self::new(code, format!("the daemon answered {}", answered.status)),
        }
    }

    /// From a report of the daemon's own parts: a configuration's mistakes keep their layout.
    pub(crate) fn from_report(code: u8, report: &miette::Report) -> Self {
        let mut what = report.to_string();
        for cause in report.chain().skip(1) {
            what.push_str(&format!("\n  because: {cause}"));
        }
        let advice = report.help().map(|help| help.to_string()).unwrap_or_default();
        Self::new(code, what).advice(advice)
    }

    /// As it is shown on a terminal.
    pub(crate) fn text(&self) -> String {
        self.within(72)
    }

    /// As it is shown, the advice in lines of so many columns.
    pub(crate) fn within(&self, columns: usize) -> String {
        let mut lines: Vec<String> = self.what.lines().map(plain).collect();
        // A configuration's mistakes begin with file and line, which editors and terminals can follow.
        let laid_out = lines.len() > 2;
        if let Some(first) = lines.first_mut().filter(|_| !laid_out) {
            *first = format!("watchkeep: {first}");
        }
        for (place, line) in wrapped(&plain(&self.advice), columns)
            .into_iter()
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
        {
            lines.push(format!("{}{line}", if place == 0 { "  help: " } else { "        " }));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Answered {
        Answered {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn scripts_can_tell_failures_apart() {
        let codes = [
            (400, USAGE),
            (403, FORBIDDEN),
            (404, NO),
            (409, NO),
            (413, USAGE),
            (429, BROKEN),
            (500, BROKEN),
            (503, BROKEN),
            (507, BROKEN),
        ];
        for (status, code) in codes {
            assert_eq!(Failure::from_answer(&answered(status, "{}")).code, code, "{status}");
        }
    }

    #[test]
    fn a_failure_says_what_to_do() {
        let body = r#"{"status":404,"title":"no rule \"shp\u001b[2J\"","detail":"did you mean \"shop\"?"}"#;
        let failure = Failure::from_answer(&answered(404, body));
        assert_eq!(
            failure.text(),
            "watchkeep: no rule \"shp�[2J\"\n  help: did you mean \"shop\"?"
        );
        let failure = Failure::from_answer(&answered(502, "<html>"));
        assert_eq!(failure.text(), "watchkeep: the daemon answered 502 Bad Gateway");
    }
}
