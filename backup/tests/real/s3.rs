//! The same over a real S3 server, whose objects are plain files that a test can damage.

use std::{fs, process::Command};

use backup::{Access, Limits, Location, Order, Reason, Repository, S3, restore};

use crate::installed::installed;
use crate::support::{
    PASSWORD, Place, Server, backup_and_prove, files_below, flip, noise, output, refused, run, wait_until,
};

pub(crate) const ACCESS: &str = "an-access-key";
pub(crate) const SECRET: &str = "a-secret-key";

pub(crate) fn settings(port: u16) -> S3 {
    S3 {
        bucket: "backups".into(),
        prefix: "shop".into(),
        endpoint: format!("http://127.0.0.1:{port}"),
        region: "auto".into(),
        access_key: ACCESS.into(),
        secret_key: SECRET.to_owned().into(),
        limits: Limits {
            attempts: 3,
            ..Limits::default()
        },
    }
}

fn server(place: &Place) -> Server {
    fs::create_dir_all(place.path("s3/backups")).unwrap();
    Server::start(|port| {
        let mut command = Command::new(installed("s3s/s3s-fs"));
        command.args([
            "--access-key",
            ACCESS,
            "--secret-key",
            SECRET,
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
        ]);
        command.arg(place.path("s3"));
        command
    })
}

#[test]
fn backup_verify_prove_restore_and_prune_over_s3() {
    let place = Place::new();
    place.fill();
    let server = server(&place);
    let location = Location::S3(settings(server.port));
    refused(
        Repository::open(&location, PASSWORD, Access::Write, run()),
        Reason::NotFound,
    );
    let repository = Repository::init(&location, PASSWORD, None, run()).unwrap();
    refused(
        Repository::init(&location, PASSWORD, None, run()),
        Reason::AlreadyExists,
    );
    let first = backup_and_prove(&repository, &place.request(), &place.path("scratch"));
    place.write("source/new", noise(8, 500_000));
    let second = backup_and_prove(&repository, &place.request(), &place.path("scratch"));
    let before = repository.run().traffic.moved();
    let verified = repository.verify(&second.snapshot).unwrap();
    let after = repository.run().traffic.moved();
    assert!(
        after.requests - before.requests <= verified.packs.packs + 10,
        "{verified:?}"
    );
    assert!(after.fetched_bytes - before.fetched_bytes >= verified.packs.bytes);
    assert!(
        second.moved.stored_bytes < first.moved.stored_bytes + 1_500_000,
        "{:?}",
        second.moved
    );

    // A machine with nothing but the location and the password.
    let bare = Repository::open(&location, PASSWORD, Access::Read, run()).unwrap();
    assert_eq!(bare.snapshots().unwrap().len(), 2);
    let order = Order {
        snapshot: second.snapshot,
        only: None,
        destination: place.path("back"),
        replace: false,
    };
    restore(&bare, &order).unwrap();
    let source = place.path("source");
    output(
        Command::new("diff")
            .arg("-r")
            .arg(place.path("back").join(source.strip_prefix("/").unwrap()))
            .arg(&source),
    );

    repository.forget(&[first.snapshot]).unwrap();
    repository
        .prune(backup::PruneRule {
            keep_marked_hours: 0,
            keep_new_hours: 0,
        })
        .unwrap();
    repository.verify_everything().unwrap();
    assert!(
        files_below(&place.path("s3/backups/shop/locks"))
            .iter()
            .all(|path| path.is_dir())
    );
    assert!(files_below(&place.path("s3/backups/shop/probe")).is_empty());
}

#[test]
fn one_flipped_byte_in_the_bucket_is_found_before_anything_is_restored() {
    let place = Place::new();
    place.fill();
    let server = server(&place);
    let location = Location::S3(settings(server.port));
    let repository = Repository::init(&location, PASSWORD, None, run()).unwrap();
    let captured = repository.backup(&place.request()).unwrap();
    let packs = files_below(&place.path("s3/backups/shop/data"));
    flip(packs.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap());
    refused(repository.verify(&captured.snapshot), Reason::Corrupt);
    let order = Order {
        snapshot: captured.snapshot,
        only: None,
        destination: place.path("back"),
        replace: false,
    };
    refused(restore(&repository, &order), Reason::Corrupt);
    assert!(!place.path("back").exists());
}

#[test]
fn a_wrong_secret_and_a_dead_store_have_their_own_words() {
    let place = Place::new();
    let mut server = server(&place);
    let good = settings(server.port);
    let open = |settings: S3| Repository::init(&Location::S3(settings), PASSWORD, None, run());
    let text = refused(
        open(S3 {
            secret_key: "wrong".to_owned().into(),
            ..good.clone()
        }),
        Reason::Credentials,
    );
    assert!(!text.contains("wrong") && !text.contains(SECRET), "{text}");
    assert!(
        text.ends_with(": the store refused the keys (403 SignatureDoesNotMatch)"),
        "{text}"
    );
    server.kill();
    let impatient = Limits {
        attempts: 1,
        ..good.limits
    };
    let text = refused(
        open(S3 {
            limits: impatient,
            ..good.clone()
        }),
        Reason::Unreachable,
    );
    assert!(
        text.ends_with(": the store cannot be reached: connection refused"),
        "{text}"
    );
    let text = refused(
        open(S3 {
            endpoint: "http://store.invalid".into(),
            limits: impatient,
            ..good
        }),
        Reason::Unreachable,
    );
    assert!(
        text.contains(": the store cannot be reached: ") && !text.contains(['{', '(']),
        "{text}"
    );
}

#[test]
fn a_bucket_that_nobody_made_is_told_by_its_name() {
    let place = Place::new();
    let server = server(&place);
    let location = Location::S3(S3 {
        bucket: "elsewhere".into(),
        ..settings(server.port)
    });
    // A HEAD is all that reading begins with, and its 404 does not say what is missing. (This server makes the folder
    // of a bucket when something is written; one that refuses is asked in `restic.rs`.)
    let text = refused(
        Repository::open(&location, PASSWORD, Access::Read, run()),
        Reason::BucketMissing,
    );
    assert!(text.ends_with(": there is no bucket \"elsewhere\" (404)"), "{text}");
    fs::create_dir_all(place.path("s3/elsewhere")).unwrap();
    refused(
        Repository::open(&location, PASSWORD, Access::Read, run()),
        Reason::NotFound,
    );
}

#[test]
fn something_that_is_no_store_is_told_as_such() {
    let place = Place::new();
    // Answers 200 and a page to everything, as a captive portal does.
    let script = place.write(
        "portal.py",
        "import sys, http.server as h
class P(h.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self):
        self.rfile.read(int(self.headers.get('content-length') or 0))
        body = b'<html>please log in</html>'
        self.send_response(200); self.send_header('content-length', str(len(body))); self.end_headers()
        if self.command != 'HEAD': self.wfile.write(body)
    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer
    def log_message(self, *a): pass
h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), P).serve_forever()",
    );
    let server = Server::start(|port| {
        let mut command = Command::new("python3");
        command.arg(&script).arg(port.to_string());
        command
    });
    let location = Location::S3(settings(server.port));
    refused(Repository::init(&location, PASSWORD, None, run()), Reason::NotAStore);
    refused(
        Repository::open(&location, PASSWORD, Access::Write, run()),
        Reason::NotAStore,
    );
}

#[test]
fn a_store_that_dies_in_the_middle_leaves_no_snapshot() {
    let place = Place::new();
    place.write("source/noise", noise(7, 80_000_000));
    let mut server = server(&place);
    let settings = S3 {
        limits: Limits {
            attempts: 2,
            ..Limits::default()
        },
        ..settings(server.port)
    };
    let location = Location::S3(settings);
    let repository = Repository::init(&location, PASSWORD, None, run()).unwrap();
    std::thread::scope(|scope| {
        let run = repository.run().clone();
        let server = &mut server;
        scope.spawn(move || {
            wait_until("a pack is stored", || run.traffic.moved().stored_bytes > 16_000_000);
            server.kill();
        });
        refused(repository.backup(&place.request()), Reason::Unreachable);
    });
    assert!(files_below(&place.path("s3/backups/shop/snapshots")).is_empty());
}

/// Between us and the server: every fifth request is answered 503, every fifth body is cut, and every fifth reply to
/// something that was done is lost.
const BAD_LINE: &str = "
import sys, itertools, http.client, http.server as h
count = itertools.count()
class P(h.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self):
        sent = self.rfile.read(int(self.headers.get('content-length') or 0))
        turn = next(count) % 5
        if turn == 1:
            self.send_response(503); self.send_header('content-length', '0'); self.end_headers()
            return
        there = http.client.HTTPConnection('127.0.0.1', int(sys.argv[2]))
        there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items(): there.putheader(name, value)
        try: there.endheaders(sent)
        except OSError: pass  # refused before it was read whole; the reply says why
        reply = there.getresponse()
        body = reply.read()
        if turn == 3 and self.command != 'GET':
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ('transfer-encoding', 'connection', 'date', 'server', 'content-length'): self.send_header(name, value)
        length = reply.getheader('content-length') if self.command == 'HEAD' else len(body)
        if reply.status != 204: self.send_header('content-length', str(length or 0))
        self.end_headers()
        if turn == 3:
            body = body[:len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)
        open(sys.argv[3], 'a').write('%d' % turn)
    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer
    def log_message(self, *a): pass
h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), P).serve_forever()
";

#[test]
fn a_bad_line_costs_attempts_but_nothing_else() {
    let place = Place::new();
    place.fill();
    let server = server(&place);
    let script = place.write("line.py", BAD_LINE);
    let seen = place.path("seen");
    let line = Server::start(|port| {
        let mut command = Command::new("python3");
        command
            .arg(&script)
            .args([port.to_string(), server.port.to_string()])
            .arg(&seen);
        command
    });
    let location = Location::S3(S3 {
        limits: Limits::default(),
        ..settings(line.port)
    });
    let repository = Repository::init(&location, PASSWORD, None, run()).unwrap();
    backup_and_prove(&repository, &place.request(), &place.path("scratch"));
    let second = backup_and_prove(&repository, &place.request(), &place.path("scratch"));
    assert_eq!(repository.snapshots().unwrap().len(), 2);
    assert_eq!(repository.check_packs().unwrap().stray, 0);
    assert!(fs::read_to_string(&seen).unwrap().contains('3'));
    // Seen without the bad line in between, everything is there.
    let direct = Repository::open(&Location::S3(settings(server.port)), PASSWORD, Access::Read, run()).unwrap();
    direct.verify(&second.snapshot).unwrap();
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let place = Place::new();
    let (key, certificate) = (place.path("key.pem"), place.path("certificate.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]);
    output(
        openssl
            .args(["-subj", "/CN=localhost", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate),
    );
    let server = Server::start(|port| {
        let mut command = Command::new("openssl");
        command
            .args(["s_server", "-quiet", "-www", "-port", &port.to_string(), "-key"])
            .arg(&key);
        command.arg("-cert").arg(&certificate);
        command
    });
    let limits = Limits {
        attempts: 1,
        ..Limits::default()
    };
    let settings = S3 {
        endpoint: format!("https://127.0.0.1:{}", server.port),
        limits,
        ..settings(server.port)
    };
    let text = refused(
        Repository::init(&Location::S3(settings), PASSWORD, None, run()),
        Reason::Unreachable,
    );
    assert!(
        text.contains(": the store cannot be reached: invalid peer certificate: it"),
        "{text}"
    );
    assert!(!text.contains('{'), "{text}");
}
