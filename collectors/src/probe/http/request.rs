//! The request of an HTTP probe: made once, sent byte for byte the same at each look.

use base64::{Engine, engine::general_purpose::STANDARD};
use config::{Located, Mistake, Secret, SecretValue};

use super::{Auth, HttpCheck, Method};

/// Largest body that is sent.
const SENT_MAX: usize = 64 * 1024;
/// Headers that the probe sets itself.
const OURS: [&str; 3] = ["connection", "content-length", "transfer-encoding"];
/// A secret shorter than this is not searched for in what comes back: it would be found everywhere.
const HIDDEN_MIN: usize = 4;

/// What is sent, and what of it must never be shown.
#[derive(Default)]
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    secrets: Vec<String>,
}

/// What is wrong with a request before any secret is read.
pub(super) fn mistakes(check: &HttpCheck) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for name in check.headers.keys().chain(check.secret_headers.keys()) {
        mistakes.extend(name_mistake(name));
    }
    for (name, value) in &check.headers {
        mistakes.extend(value_mistake(name, value));
    }
    if let Some(body) = check.body.as_ref().filter(|body| body.len() > SENT_MAX) {
        mistakes.push(Mistake::at(body.span(), "the body is larger than 64 KiB"));
    }
    if let Some(Auth::Basic(basic)) = &check.auth
        && basic.user.contains(':')
    {
        let help = "RFC 7617 has no way to send one";
        mistakes.push(Mistake::at(basic.user.span(), "a user must not hold a colon").help(help));
    }
    mistakes
}

fn name_mistake(name: &Located<String>) -> Option<Mistake> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        let message = format!("{:?} is no name of a header", name.as_str());
        Some(Mistake::at(name.span(), message))
    } else if OURS.iter().any(|our| name.eq_ignore_ascii_case(our)) {
        let message = format!("the header {name} is set by the probe itself");
        Some(Mistake::at(name.span(), message))
    } else {
        None
    }
}

/// Nothing gets into the head that could begin a line of its own.
fn value_mistake(name: &Located<String>, value: &str) -> Option<Mistake> {
    let breaks = value.chars().any(|c| c.is_control() && c != '\t');
    breaks.then(|| {
        let message = format!("the value of the header {name} holds a control character");
        Mistake::at(name.span(), message)
    })
}

impl Request {
    /// Reads the secrets and writes the request.
    pub(super) fn new(check: &HttpCheck) -> Result<Self, Mistake> {
        let mut request = Self::default();
        let url = check.url.as_url();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        request.line(&format!("{} {}{query} HTTP/1.1", check.method.text(), url.path()));
        request.defaults(check);
        for (name, value) in &check.headers {
            request.header(name, value);
        }
        for (name, secret) in &check.secret_headers {
            request.secret(name, read(secret)?.expose().to_owned())?;
        }
        let named = |place: std::ops::Range<usize>| Located::new("Authorization".to_owned(), place);
        match &check.auth {
            None => {}
            Some(Auth::Bearer(token)) => {
                let token_value = read(token)?;
                request.secrets.push(token_value.expose().to_owned());
                request.secret(&named(token.span()), format!("Bearer {}", token_value.expose()))?;
            }
            Some(Auth::Basic(basic)) => {
                let password = read(&basic.password)?;
                request.secrets.push(password.expose().to_owned());
                let pair = STANDARD.encode(format!("{}:{}", *basic.user, password.expose()));
                request.secret(&named(basic.user.span()), format!("Basic {pair}"))?;
            }
        }
        request.body(check);
        Ok(request)
    }

    fn defaults(&mut self, check: &HttpCheck) {
        let given = |name: &str| {
            let mut headers = check.headers.keys().chain(check.secret_headers.keys());
            headers.any(|header| header.eq_ignore_ascii_case(name))
        };
        let host = match check.url.as_url().port() {
            None => check.url.host().to_owned(),
            Some(port) => format!("{}:{port}", check.url.host()),
        };
        for (name, value) in [
            ("Host", host.as_str()),
            ("User-Agent", outbound::USER_AGENT),
            ("Accept", "*/*"),
        ] {
            if !given(name) {
                self.header(name, value);
            }
        }
        self.header("Connection", "close");
    }

    fn body(&mut self, check: &HttpCheck) {
        let body = check.body.as_ref().map(|body| body.as_bytes());
        if body.is_some() || matches!(check.method, Method::Post | Method::Put | Method::Patch) {
            let length = body.map_or(0, <[u8]>::len);
            self.header("Content-Length", &length.to_string());
        }
        self.line("");
        self.bytes.extend_from_slice(body.unwrap_or_default());
    }

    fn line(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn header(&mut self, name: &str, value: &str) {
        self.line(&format!("{name}: {value}"));
    }

    fn secret(&mut self, name: &Located<String>, value: String) -> Result<(), Mistake> {
        if let Some(mistake) = value_mistake(name, &value) {
            return Err(mistake);
        }
        self.header(name, &value);
        self.secrets.push(value);
        Ok(())
    }

    /// A text without the secrets that were sent: some error pages show the whole request.
    pub(super) fn hide(&self, text: &str) -> String {
        let longest_first = {
            let mut secrets: Vec<&String> = self
                .secrets
                .iter()
                .filter(|secret| secret.len() >= HIDDEN_MIN)
                .collect();
            secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
            secrets
        };
        longest_first.into_iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.as_str(), "<secret>")
        })
    }
}

fn read(secret: &Located<Secret>) -> Result<SecretValue, Mistake> {
    secret.read().map_err(|error| {
        Mistake::at(secret.span(), outbound::chain(&error)).help("put the secret there, readable for the daemon only")
    })
}
