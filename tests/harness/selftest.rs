//! The helpers themselves, against programs that are not ours.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::disk::Disk;
use crate::http;
use crate::netns::{Link, Namespace};
use crate::nginx::Nginx;
use crate::power::{Damage, Recorder, Trace};
use crate::process::Process;
use crate::proxy::{Fault, Proxy};
use crate::random::Random;
use crate::s3::S3;
use crate::services::Service;
use crate::smtp::{Smtp, Tls};
use crate::webhook::Webhook;
use crate::{certificate, faketime, ports, tools};

const SOON: Duration = Duration::from_secs(20);

fn python(script: &str, arguments: &[&str]) -> std::process::Output {
    Command::new(tools::python())
        .arg("-c")
        .arg(script)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn mail_needs_tls_and_the_right_login() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate::make(folder.path(), 30);
    let client = "import smtplib,ssl,sys\n\
        port,authority,mode,password=sys.argv[1:]\n\
        c=ssl.create_default_context(cafile=authority)\n\
        s=smtplib.SMTP_SSL('localhost',int(port),context=c) if mode=='implicit' else smtplib.SMTP('localhost',int(port))\n\
        mode=='starttls' and s.starttls(context=c)\n\
        mode!='plain' and s.login('watchkeep',password)\n\
        s.sendmail('a@shop.example',['b@shop.example'],b'Subject: =?utf-8?q?caf=C3=A9?=\\r\\n\\r\\nhello\\r\\n')\n";
    for (tls, mode) in [(Tls::Implicit, "implicit"), (Tls::StartTls, "starttls")] {
        let server = Smtp::start(folder.path(), tls, &files);
        let send = |mode: &str, password: &str| {
            python(
                client,
                &[
                    &server.port.to_string(),
                    &files.authority.display().to_string(),
                    mode,
                    password,
                ],
            )
        };
        let sent = send(mode, server.password);
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        assert!(!send(mode, "wrong").status.success());
        assert!(tls == Tls::Implicit || !send("plain", "").status.success());
        server.refuse("451 try later");
        assert!(!send(mode, server.password).status.success());
        server.accept();
        let mails = server.wait_for(1, SOON);
        assert_eq!(mails.len(), 1);
        assert_eq!((mails[0].tls, mails[0].user.as_deref()), (true, Some("watchkeep")));
        assert_eq!(mails[0].header("Subject").as_deref(), Some("café"));
        assert_eq!(mails[0].body().trim(), "hello");
    }
}

#[test]
fn webhooks_are_kept_refused_and_verified() {
    let receiver = Webhook::start();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let send = "import sys,datetime,requests\n\
        from standardwebhooks.webhooks import Webhook\n\
        url,secret,body=sys.argv[1:]\n\
        now=datetime.datetime.now(datetime.timezone.utc)\n\
        h={'webhook-id':'msg_1','webhook-timestamp':str(int(now.timestamp())),'webhook-signature':Webhook(secret).sign('msg_1',now,body)}\n\
        print(requests.post(url,data=body,headers=h).status_code)\n";
    receiver.answer(503);
    assert_eq!(python(send, &[&receiver.url(), secret, "{}"]).stdout, b"503\n");
    receiver.answer(204);
    assert_eq!(python(send, &[&receiver.url(), secret, "{\"a\":1}"]).stdout, b"204\n");
    let taken = receiver.wait_for(1, SOON);
    assert_eq!(
        (receiver.attempts().len(), taken.len(), taken[0].id.as_str()),
        (2, 1, "msg_1")
    );
    assert!(taken[0].is_signed_with(secret));
    let mut changed = taken[0].clone();
    changed.request.body.push(b' ');
    assert!(!changed.is_signed_with(secret));
    receiver.close_connections(true);
    assert!(!python(send, &[&receiver.url(), secret, "{}"]).status.success());
}

#[test]
fn nginx_stops_returns_and_speaks_tls() {
    let folder = tempfile::tempdir().unwrap();
    let mut plain = Nginx::start(folder.path());
    assert_eq!(http::get(ports::local(plain.port), "/").unwrap().text(), "ok\n");
    plain.stop();
    assert!(http::get(ports::local(plain.port), "/").is_err());
    plain.start_again();
    assert_eq!(http::get(ports::local(plain.port), "/").unwrap().status(), 200);
    crate::until("both requests in the log", SOON, || {
        (plain.requests() == 2).then_some(())
    });
    let files = certificate::make(&folder.path().join("tls"), 10);
    let secure = Nginx::with(folder.path(), "return 204;", Some(&files));
    let mut curl = Command::new(tools::system("curl"));
    tools::run(curl.arg("-sSf").arg("--cacert").arg(&files.authority).arg(secure.url()));
    let expired = certificate::make(&folder.path().join("old"), -1);
    let old = Nginx::with(folder.path(), "return 204;", Some(&expired));
    let mut curl = Command::new(tools::system("curl"));
    assert!(
        !curl
            .arg("-sSf")
            .arg("--cacert")
            .arg(&expired.authority)
            .arg(old.url())
            .output()
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn the_proxy_does_what_networks_do() {
    let folder = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(folder.path());
    let proxy = Proxy::start(nginx.port);
    let get = || http::get(ports::local(proxy.port), "/");
    assert_eq!(get().unwrap().text(), "ok\n");
    proxy.set(Fault::CutReply(20));
    assert!(get().is_err());
    proxy.set(Fault::Refuse);
    assert!(get().is_err());
    proxy.set(Fault::FlipReply(0));
    assert!(get().unwrap().first.starts_with("ITTP/1.1"));
    let requests = nginx.requests();
    proxy.set(Fault::CutRequest(3));
    assert!(get().is_err());
    assert_eq!(http::get(ports::local(nginx.port), "/").unwrap().status(), 200);
    assert!(nginx.requests() <= requests + 2);
    proxy.set_plan(|number| {
        if number % 2 == 0 {
            Fault::Refuse
        } else {
            Fault::Latency(Duration::from_millis(50))
        }
    });
    assert_eq!((0..4).filter(|_| get().is_ok()).count(), 2);
}

#[test]
fn the_strict_store_checks_keys_and_moto_takes_all() {
    let folder = tempfile::tempdir().unwrap();
    let put = "import sys,boto3\n\
        url,bucket,key,secret=sys.argv[1:]\n\
        s=boto3.client('s3',endpoint_url=url,aws_access_key_id=key,aws_secret_access_key=secret,region_name='us-east-1')\n\
        s.put_object(Bucket=bucket,Key='a/b',Body=b'hello',IfNoneMatch='*')\n";
    let strict = S3::strict(folder.path());
    let store = |s3: &S3, secret: &str| {
        python(put, &[&s3.endpoint(), s3.bucket, s3.access_key, secret])
            .status
            .success()
    };
    assert!(!store(&strict, "wrong"));
    assert!(store(&strict, strict.secret_key));
    assert!(
        !store(&strict, strict.secret_key),
        "an object that is there is not overwritten"
    );
    assert!(strict.files().iter().any(|file| file.ends_with("a/b")));
    assert!(store(&S3::moto(folder.path()), "wrong"));
}

#[test]
fn a_cable_between_two_hosts_can_be_pulled() {
    let (watcher, world) = (Namespace::create("watcher"), Namespace::create("world"));
    let link = Link::join(&watcher, Some(&world), 7);
    let more = link.add_addresses(&world, 3);
    let folder = tempfile::tempdir().unwrap();
    let mut server = world.command("python3");
    server.args(["-m", "http.server", "8080"]).current_dir(folder.path());
    let _server = Process::start(&mut server, &folder.path().join("server.log"));
    let reach = |address: std::net::Ipv4Addr| {
        let url = format!("http://{address}:8080/");
        watcher
            .command("curl")
            .args(["-sf", "-m", "2", "-o", "/dev/null", &url])
            .status()
            .unwrap()
            .success()
    };
    crate::until("the server", SOON, || reach(link.far_address).then_some(()));
    let routed = watcher
        .command("ip")
        .args(["route", "add", "default", "via", &link.far_address.to_string()])
        .status()
        .unwrap();
    assert!(routed.success());
    assert!(reach(more[2]));
    link.cut();
    assert!(!reach(link.far_address));
    link.mend();
    crate::until("the cable", SOON, || reach(link.far_address).then_some(()));
}

#[test]
fn a_disk_is_full_and_empty_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&folder.path().join("disk"), 2);
    let write = || std::fs::write(disk.folder.join("file"), [1; 4096]);
    disk.fill();
    assert_eq!(write().unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    disk.resize(3);
    write().unwrap();
    disk.empty();
    write().unwrap();
}

#[test]
fn clocks_can_be_turned() {
    let folder = tempfile::tempdir().unwrap();
    let clock = faketime::Clock::new(folder.path());
    let year = || {
        let mut command = Command::new(tools::system("date"));
        clock.apply(&mut command);
        tools::run(command.arg("+%Y")).trim().parse::<i32>().unwrap()
    };
    let now = year();
    clock.set("+730d");
    assert!(year() > now);
}

#[test]
fn services_export_traces() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Webhook::start();
    collector.answer(200);
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let stock = Service::python(folder.path(), "stock", None, &environment);
    let shop = Service::node(folder.path(), "shop", Some(&stock.url()), &environment);
    let trace = shop.work("");
    assert_eq!((trace.status(), trace.body.len()), (200, 32), "{}", trace.text());
    assert_eq!(shop.work("?fail=1").status(), 500);
    let bodies = || {
        collector
            .taken()
            .into_iter()
            .map(|delivery| String::from_utf8_lossy(&delivery.request.body).into_owned())
    };
    crate::until("spans of both", SOON, || {
        (bodies().any(|body| body.contains("stock")) && bodies().any(|body| body.contains("shop"))).then_some(())
    });
    shop.stop();
}

/// Appends numbered lines, tells each one after it was synced (or not), and lets the test note it as acknowledged.
const WRITER: &str = "import os,sys\n\
    sync=sys.argv[2]=='sync'\n\
    d=os.open(sys.argv[1],os.O_RDONLY)\n\
    f=os.open(sys.argv[1]+'/lines',os.O_CREAT|os.O_WRONLY|os.O_APPEND)\n\
    os.fsync(d)\n\
    for n in range(40):\n\
    \x20 os.write(f,b'%08d' % n*100)\n\
    \x20 try:\n\
    \x20   sync and os.fsync(f)\n\
    \x20 except OSError: print('failed',n); break\n\
    \x20 print(n,flush=True)\n\
    \x20 sys.stdin.readline()\n";

/// Commits numbered rows to SQLite in WAL mode, with `synchronous` as given.
const COMMITTER: &str = "import os,sqlite3,sys\n\
    c=sqlite3.connect(sys.argv[1]+'/rows.db',isolation_level=None)\n\
    for p in ('journal_mode=WAL','wal_autocheckpoint=20','synchronous='+sys.argv[2]): c.execute('pragma '+p)\n\
    c.execute('create table if not exists rows(n integer primary key, text)')\n\
    for n in range(60):\n\
    \x20 c.execute('insert into rows values(?,?)',(n,'x'*700))\n\
    \x20 print(n,flush=True)\n\
    \x20 sys.stdin.readline()\n\
    os._exit(0)\n";

/// How many of the folders given hold a database with fewer rows than they must, or a broken one.
const COUNTER: &str = "import sqlite3,sys\n\
    bad=0\n\
    for folder,acked in zip(sys.argv[1::2],map(int,sys.argv[2::2])):\n\
    \x20 try:\n\
    \x20   c=sqlite3.connect(folder+'/rows.db')\n\
    \x20   whole=c.execute('pragma integrity_check').fetchone()==('ok',)\n\
    \x20   rows=c.execute('select count(*),max(n)+1 from rows').fetchone() if acked else (0,0)\n\
    \x20   bad+=not whole or rows[0]<acked or rows[0]!=rows[1]\n\
    \x20 except sqlite3.Error: bad+=bool(acked)\n\
    print(bad)\n";

/// Runs a writer under the recorder and notes every line it prints as acknowledged.
fn recorded(folder: &std::path::Path, writer: &str, mode: &str, fail_sync: Option<usize>) -> Trace {
    use std::io::{BufRead as _, Write as _};
    let root = folder.join("data");
    std::fs::create_dir(&root).unwrap();
    let mut recorder = Recorder::new(&root, &folder.join("power.log"));
    if let Some(number) = fail_sync {
        recorder = recorder.fail_sync(number);
    }
    let mut command = Command::new("/usr/bin/python3");
    recorder.apply(&mut command);
    command.arg("-c").arg(writer).arg(&root).arg(mode);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answers = child.stdin.take().unwrap();
    for line in std::io::BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
    {
        if line.starts_with("failed") {
            break;
        }
        recorder.acknowledged(&line);
        let _ended = answers.write_all(b"\n");
    }
    drop(answers);
    child.wait().unwrap();
    recorder.finish()
}

/// Whether some cut loses an acknowledged line.
fn loses_lines(mode: &str, damage: Damage, fail_sync: Option<usize>) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let trace = recorded(folder.path(), WRITER, mode, fail_sync);
    assert_eq!(
        trace.acknowledged().len(),
        fail_sync.map_or(40, |number| number - 1),
        "{} records",
        trace.len()
    );
    let (mut random, mut replay) = (Random::new(11), trace.replay());
    (0..=trace.len()).any(|at| {
        replay.advance_to(at);
        let into = folder.path().join(format!("crash-{at}"));
        replay.crash(&mut random, damage, &into);
        let lines = std::fs::read(into.join("lines")).unwrap_or_default();
        let kept = |number: usize| {
            lines.get(number * 800..(number + 1) * 800) == Some(format!("{number:08}").repeat(100).as_bytes())
        };
        !(0..replay.acknowledged().len()).all(kept)
    })
}

/// How many of 100 cuts lose an acknowledged row, or break the database.
fn bad_databases(synchronous: &str, damage: Damage) -> u32 {
    let folder = tempfile::tempdir().unwrap();
    let trace = recorded(folder.path(), COMMITTER, synchronous, None);
    assert_eq!(trace.acknowledged().len(), 60);
    let (mut random, mut replay) = (Random::new(12), trace.replay());
    let mut states = Vec::new();
    for n in 0..100 {
        replay.advance_to(trace.len() * n / 99);
        let into = folder.path().join(format!("crash-{n}"));
        replay.crash(&mut random, damage, &into);
        states.extend([into.display().to_string(), replay.acknowledged().len().to_string()]);
    }
    let mut command = Command::new("/usr/bin/python3");
    tools::run(command.arg("-c").arg(COUNTER).args(states))
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn what_was_synced_survives_every_cut() {
    for damage in [Damage::DropAll, Damage::Drop, Damage::Torn] {
        assert!(!loses_lines("sync", damage, None), "{damage:?}");
        assert_eq!(bad_databases("FULL", damage), 0, "{damage:?}");
    }
    assert!(!loses_lines("sync", Damage::Torn, Some(7)));
}

#[test]
fn control_what_was_not_synced_is_lost() {
    assert!(loses_lines("no", Damage::Drop, None));
    assert!(bad_databases("NORMAL", Damage::DropAll) > 0);
    // Garbage reaches beyond what was written: 800 bytes do not end on a sector.
    assert!(loses_lines("sync", Damage::Garbage, None));
}
