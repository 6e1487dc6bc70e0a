//! The reference of the API, written from the table of routes.

use std::fmt::Write;

use crate::{ROUTES, Route, Who};

/// `docs/guide/api.md`.
#[must_use]
pub fn routes_markdown() -> String {
    let mut text = HEAD.to_owned();
    for route in ROUTES {
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| `{} {}` | {} | {} | {} |",
            route.method.name(),
            route.path,
            who(route),
            route.what,
            route.takes.replace('|', "\\|")
        );
    }
    text.push_str(TAIL);
    text
}

fn who(route: &Route) -> &'static str {
    match route.who {
        Who::Anyone => "anyone",
        Who::Read => "read",
        Who::Operate => "operate",
        Who::Act => "act",
    }
}

const HEAD: &str = "\
# The API

The command line is a client of this API. It is served on the data folder's socket (`watchkeep.sock`); on TCP, which is
loopback only, there are `/livez`, `/readyz`, `/metrics` and OTLP (`/v1/traces`, `/v1/logs`).

```
curl --unix-socket watchkeep-data/watchkeep.sock http://localhost/api/v1/status
curl --unix-socket watchkeep-data/watchkeep.sock http://localhost/api/v1/deployments \\
  -H 'Idempotency-Key: build-4711' -d '{\"service\":\"shop\",\"version\":\"1.4.2\"}'
```

Who may: root and the daemon's own user may do everything; members of `[web] group` may read and operate; nobody else
may do more than what is open to anyone.

| route | who | what for | takes |
|---|---|---|---|
";

const TAIL: &str = "
Times are RFC 3339 in UTC; where a time is asked for, a duration such as `1h` means so long ago. `limit` is at most
1,000. Parameters and fields that are not listed are refused, so that a misspelt filter does not answer as if there were
none. A request that records something may carry an `Idempotency-Key`: the same caller, key and content is recorded once.

Every error is `application/problem+json` (RFC 9457): `status`, `title` (what went wrong), `detail` (what to do about
it), and where a repeat makes sense `retry_after_s` and `Retry-After`.

| status | means |
|---|---|
| 400 | the request was not understood; the title names the place |
| 403 | you may not do this; on TCP also: requests of web pages are refused |
| 404 | there is no such thing; the detail may have a suggestion |
| 405 | this path does not take that method |
| 409 | the `Idempotency-Key` stands for another content |
| 413 | the body is larger than it may be |
| 421 | on TCP: the `Host` is none of this daemon's names |
| 429, 503, 507 | busy, stopping, the disk is full: come back later |
";
