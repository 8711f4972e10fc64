//! tokio-postgres, which has no pool: each worker has a connection by itself.

mod mixed;

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{future, pin_mut, SinkExt, TryStreamExt};
use tokio_postgres::{Client, Config, GenericClient, NoTls, Row};

use mixed::{Outcome, Report, Worker};

const KINDS: [&str; 13] = [
    "select",
    "transaction",
    "rollback",
    "error",
    "batch",
    "prepared",
    "reconnect",
    "settings",
    "large",
    "copy",
    "cursor",
    "cancel",
    "reset",
];
const OWN: &str = "select $1::int, $2::int, marker from marker";
const SETTINGS: &str =
    "select current_setting('TimeZone'), current_setting('application_name'), current_setting('search_path')";

/// SQLSTATE and text; each takes the number of the worker.
const FAILURES: [(&str, &str); 5] = [
    ("22012", "select $1::int / 0"),
    ("42601", "selec $1"),
    ("42P01", "select * from missing where a = $1"),
    ("22P02", "select ('x' || $1::int)::int"),
    ("23505", "insert into items select $1::int, 1, 'twice' from generate_series(1, 2)"),
];

async fn connected(w: &Worker) -> Result<Client, tokio_postgres::Error> {
    let mut config = Config::new();
    config
        .host(mixed::setting::<String>("PGHOST"))
        .port(mixed::setting("PGPORT"))
        .user(mixed::setting::<String>("PGUSER"))
        .password(mixed::setting::<String>("PGPASSWORD"))
        .dbname(mixed::setting::<String>("PGDATABASE"))
        .application_name("tokio-postgres")
        .options(format!("-c search_path={},public", w.schema));
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection); // its errors reach the client, too
    Ok(client)
}

fn equal<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Outcome {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{found:?} came instead of {wanted:?}").into())
}

fn refused<T>(result: Result<T, tokio_postgres::Error>, code: &str) -> Outcome {
    match result {
        Ok(_) => Err(format!("no error, {code} was expected").into()),
        Err(error) if error.code().is_some_and(|found| found.code() == code) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn fail(w: &Worker, c: &(impl GenericClient + Sync), (code, text): (&str, &str)) -> Outcome {
    refused(c.query(text, &[&w.number]).await, code)
}

fn check_row(w: &Worker, row: &Row, sequence: i32) -> Outcome {
    equal((row.get(0), row.get(1), row.get(2)), (w.number, sequence, w.schema.as_str()))
}

async fn check_own(w: &mut Worker, c: &(impl GenericClient + Sync)) -> Outcome {
    let sequence = w.next();
    check_row(w, &c.query_one(OWN, &[&w.number, &sequence]).await?, sequence)
}

async fn insert(w: &Worker, c: &(impl GenericClient + Sync), sequence: i32, body: &str) -> Outcome {
    c.execute("insert into items values ($1, $2, $3)", &[&w.number, &sequence, &body]).await?;
    Ok(())
}

async fn check_stored(w: &Worker, c: &(impl GenericClient + Sync), sequence: i32, wanted: &[&str]) -> Outcome {
    let rows =
        c.query("select body from items where connection = $1 and sequence = $2", &[&w.number, &sequence]).await?;
    equal(rows.iter().map(|row| row.get(0)).collect::<Vec<&str>>(), wanted.to_vec())
}

async fn forget(w: &Worker, c: &(impl GenericClient + Sync), n: u64) -> Outcome {
    equal(c.execute("delete from items where connection = $1", &[&w.number]).await?, n)
}

async fn transaction(w: &mut Worker, c: &mut Client) -> Outcome {
    let sequence = w.next();
    let body = format!("body {sequence}");
    let tx = c.transaction().await?;
    insert(w, &tx, sequence, &body).await?;
    check_stored(w, &tx, sequence, &[&body]).await?;
    tx.commit().await?;
    check_stored(w, c, sequence, &[&body]).await?;
    forget(w, c, 1).await
}

/// Said, and by a transaction that is dropped.
async fn rollback(w: &mut Worker, c: &mut Client) -> Outcome {
    for is_said in [true, false] {
        let sequence = w.next();
        let tx = c.transaction().await?;
        insert(w, &tx, sequence, "body").await?;
        if is_said {
            tx.rollback().await?;
        } else {
            drop(tx);
        }
        check_stored(w, c, sequence, &[]).await?;
    }
    Ok(())
}

async fn error(w: &mut Worker, c: &mut Client) -> Outcome {
    let failure = FAILURES[w.below(FAILURES.len())];
    fail(w, c, failure).await?;
    check_own(w, c).await?;
    let mut tx = c.transaction().await?;
    let inner = tx.transaction().await?; // a savepoint
    fail(w, &inner, failure).await?;
    refused(inner.batch_execute("select 1").await, "25P02")?;
    inner.rollback().await?;
    check_own(w, &tx).await?;
    fail(w, &tx, failure).await?;
    tx.rollback().await?;
    check_own(w, c).await
}

/// What is polled together is sent without waiting; every seventh fails.
async fn batch(w: &mut Worker, c: &mut Client) -> Outcome {
    let statement = c.prepare("select $1::int, $2::int / ($2::int % 7), marker from marker").await?;
    let first = w.sequence + 1;
    w.sequence += 20;
    let sequences: Vec<i32> = (first..first + 20).collect();
    let number = w.number;
    let (client, statement) = (&*c, &statement);
    let queries =
        sequences.iter().map(|sequence| async move { client.query_one(statement, &[&number, sequence]).await });
    for (sequence, result) in sequences.iter().zip(future::join_all(queries).await) {
        if sequence % 7 == 0 {
            refused(result, "22012")?;
        } else {
            check_row(w, &result?, sequence / (sequence % 7))?;
        }
    }
    Ok(())
}

async fn prepared(w: &mut Worker, c: &mut Client) -> Outcome {
    let mut statements = Vec::new();
    for _ in 0..5 {
        let k = w.below(100) as i32;
        statements.push((k, c.prepare(&format!("select $1::int + {k}, $2::int")).await?));
    }
    for _ in 0..15 {
        let (k, statement) = &statements[w.below(5)];
        let sequence = w.next();
        let row = c.query_one(statement, &[&w.number, &sequence]).await?;
        equal((row.get(0), row.get(1)), (w.number + k, sequence))?;
    }
    Ok(())
}

async fn check_settings(w: &Worker, c: &Client, zone: &str, name: &str) -> Outcome {
    let row = c.query_one(SETTINGS, &[]).await?;
    equal((row.get(0), row.get(1), row.get(2)), (zone, name, format!("{},public", w.schema).as_str()))
}

async fn settings(w: &mut Worker, c: &mut Client) -> Outcome {
    let zone: String = c.query_one("show time zone", &[]).await?.get(0);
    check_settings(w, c, &zone, "tokio-postgres").await?;
    let other_zone = ["Asia/Tokyo", "America/Lima", "Europe/Oslo"][w.below(3)];
    let other_name = format!("worker {}", w.number);
    c.batch_execute(&format!("set time zone '{other_zone}'")).await?;
    c.query_one("select set_config('application_name', $1, false)", &[&other_name]).await?;
    for _ in 0..3 {
        check_settings(w, c, other_zone, &other_name).await?;
    }
    let tx = c.transaction().await?;
    tx.batch_execute("set application_name = 'undone'; set local time zone 'Asia/Kabul'").await?;
    tx.rollback().await?;
    check_settings(w, c, other_zone, &other_name).await?;
    c.batch_execute("reset time zone").await?;
    c.execute("reset application_name", &[]).await?;
    check_settings(w, c, &zone, "tokio-postgres").await
}

async fn large(w: &mut Worker, c: &mut Client) -> Outcome {
    let text = w.below(10).to_string().repeat(1 << 20);
    let row = c.query_one("select $1::text", &[&text]).await?;
    equal(row.get::<_, &str>(0) == text, true)
}

async fn copy(w: &mut Worker, c: &mut Client) -> Outcome {
    let number = w.number;
    let lines: String = (0..200).map(|_| format!("{number}\t{}\tcopied\n", w.next())).collect();
    let tx = c.transaction().await?;
    let sink = tx.copy_in("copy items from stdin").await?;
    pin_mut!(sink);
    for line in lines.split_inclusive('\n') {
        sink.send(Bytes::copy_from_slice(line.as_bytes())).await?;
    }
    equal(sink.finish().await?, 200)?;
    let text = format!("copy (select * from items where connection = {number} order by sequence) to stdout");
    let out: Vec<Bytes> = tx.copy_out(&text).await?.try_collect().await?;
    equal(String::from_utf8(out.concat())?, lines)?;
    forget(w, &tx, 200).await?;
    tx.commit().await?;
    Ok(())
}

async fn cursor(c: &mut Client) -> Outcome {
    let tx = c.transaction().await?;
    let portal = tx.bind("select i from generate_series(1, $1::int) i", &[&500]).await?;
    for begin in (0..500).step_by(50) {
        let rows = tx.query_portal(&portal, 50).await?;
        equal(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), (begin + 1..begin + 51).collect())?;
    }
    equal(tx.query_portal(&portal, 50).await?.len(), 0)?;
    tx.commit().await?;
    Ok(())
}

/// Whether a query was cancelled after a random time, which may be before it has begun. The driver does
/// not wait for the end of a request, and so a second one might hit what comes next.
async fn cancelled(w: &mut Worker, c: &Client) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let pause = Duration::from_millis(w.below(20) as u64);
    let request = async {
        tokio::time::sleep(pause).await;
        c.cancel_token().cancel_query(NoTls).await
    };
    let (result, requested) = tokio::join!(biased; c.batch_execute("select pg_sleep(2)"), request);
    requested?;
    if result.is_ok() {
        return Ok(false);
    }
    refused(result, "57014")?;
    Ok(true)
}

async fn cancel(w: &mut Worker, c: &mut Client) -> Outcome {
    while !cancelled(w, c).await? {}
    check_own(w, c).await?;
    let tx = c.transaction().await?;
    tx.batch_execute("set local statement_timeout = '5ms'").await?;
    refused(tx.batch_execute("select pg_sleep(30)").await, "57014")?;
    tx.rollback().await?;
    check_own(w, c).await
}

async fn reset(w: &mut Worker, c: &mut Client) -> Outcome {
    c.batch_execute("set application_name = 'gone'").await?;
    c.batch_execute("discard all").await?;
    let row = c.query_one("select current_setting('application_name')", &[]).await?;
    equal(row.get(0), "tokio-postgres")?;
    check_own(w, c).await
}

async fn operate(kind: &str, w: &mut Worker, c: &mut Client) -> Outcome {
    match kind {
        "select" => check_own(w, c).await,
        "transaction" => transaction(w, c).await,
        "rollback" => rollback(w, c).await,
        "error" => error(w, c).await,
        "batch" => batch(w, c).await,
        "prepared" => prepared(w, c).await,
        "reconnect" => {
            *c = connected(w).await?;
            Ok(())
        }
        "settings" => settings(w, c).await,
        "large" => large(w, c).await,
        "copy" => copy(w, c).await,
        "cursor" => cursor(c).await,
        "cancel" => cancel(w, c).await,
        "reset" => reset(w, c).await,
        _ => Err(format!("no operation is called {kind}").into()),
    }
}

fn locked(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().expect("nobody panics with it")
}

async fn work(mut w: Worker, deadline: Instant, report: Arc<Mutex<Report>>) {
    let drawn = mixed::drawn(&KINDS);
    locked(&report).begins(w.number, "connect");
    let mut client = match connected(&w).await {
        Ok(client) => client,
        Err(error) => return locked(&report).ends(w.number, "connect", Err(error.into())),
    };
    while Instant::now() < deadline {
        let kind = w.kind(&KINDS, &drawn);
        locked(&report).begins(w.number, kind);
        let outcome = operate(kind, &mut w, &mut client).await;
        let is_over = outcome.is_err();
        locked(&report).ends(w.number, kind, outcome);
        if is_over {
            break;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let report = Arc::new(Mutex::new(Report::default()));
    let duration = Duration::from_secs(mixed::setting("WEIR_SECONDS"));
    let n_connections: i32 = mixed::setting("WEIR_CONNECTIONS");
    let deadline = Instant::now() + duration;
    let workers = (0..n_connections).map(|number| tokio::spawn(work(Worker::new(number), deadline, report.clone())));
    let all = future::join_all(workers.collect::<Vec<_>>());
    let ended = tokio::time::timeout(duration + mixed::GRACE, all).await;
    let mut report = locked(&report);
    match ended {
        Ok(ended) if ended.iter().any(|worker| worker.is_err()) => println!("unexpected: a worker panicked"),
        Ok(_) => return ExitCode::from(report.tell()),
        Err(_) => report.stuck(),
    }
    report.tell();
    ExitCode::FAILURE
}
