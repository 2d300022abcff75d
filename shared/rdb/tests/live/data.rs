//! Keys of all types and forms.

use keysweep_redis::Conn;

/// Sends a command; one that the server does not have is passed over.
async fn send(conn: &Conn, words: &[&[u8]]) {
    match conn.command(words).await {
        Ok(_) => {}
        Err(e) if e.to_string().contains("unknown command") => {}
        Err(e) => {
            panic!("{e}: {:?}", words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>())
        }
    }
}

async fn line(conn: &Conn, line: &str) {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    send(conn, &words).await;
}

/// A command with so many members, each made by `member`.
async fn fill(conn: &Conn, begin: &str, count: u32, member: impl Fn(u32) -> Vec<String>) {
    let members: Vec<String> = (0..count).flat_map(member).collect();
    let words = begin.split(' ').map(str::as_bytes).chain(members.iter().map(String::as_bytes));
    send(conn, &words.collect::<Vec<_>>()).await;
}

/// Writes keys of all types and forms into a database.
pub(crate) async fn write(conn: &Conn, database: u32) {
    line(conn, &format!("SELECT {database}")).await;
    strings(conn).await;
    containers(conn).await;
    streams(conn).await;
    fields(conn).await;
    let library = b"#!lua name=library\nredis.register_function('f', function() return 1 end)";
    send(conn, &[b"FUNCTION", b"LOAD", b"REPLACE", library]).await;
}

async fn strings(conn: &Conn) {
    // Names that are written as numbers, at the bounds of their forms, and some that are not numbers.
    for name in [
        "0",
        "-1",
        "127",
        "128",
        "-128",
        "-129",
        "12345",
        "32768",
        "-32769",
        "2147483647",
        "2147483648",
        "007",
        "-0",
        "+5",
    ] {
        send(conn, &[b"SET", name.as_bytes(), name.as_bytes()]).await;
    }
    // Names that are compressed, and some that only look like it.
    let binary: Vec<u8> = (0..=255).collect();
    for name in [
        vec![b'a'; 21],
        vec![b'b'; 70_000],
        b"user:user:user:user:user:7".to_vec(),
        binary,
        Vec::new(),
        vec![0xff; 20],
    ] {
        send(conn, &[b"SET", &name, &name]).await;
    }
    line(conn, "SET expiring v PX 100000").await;
    line(conn, "SET much:later v PXAT 9007199254740000").await;
    send(conn, &[b"SET", b"large", &vec![b'z'; 3_000_000]]).await;
    let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(500_000).collect();
    send(conn, &[b"SET", b"random", &random]).await;
    line(conn, "PFADD hyperloglog a b c").await;
    line(conn, "SETBIT bits 100000 1").await;
}

async fn containers(conn: &Conn) {
    for (size, long) in [(1_u32, false), (3, true), (100, false), (700, true), (5_000, false)] {
        let text = |n: u32| if long { format!("member:{n}:{}", "x".repeat(100)) } else { n.to_string() };
        let one = |n: u32| vec![text(n)];
        fill(conn, &format!("RPUSH list:{size}"), size, one).await;
        fill(conn, &format!("SADD set:{size}"), size, one).await;
        fill(conn, &format!("ZADD zset:{size}"), size, |n| vec![format!("{n}.5"), text(n)]).await;
        fill(conn, &format!("HSET hash:{size}"), size, |n| vec![text(n), format!("value {n}")]).await;
    }
    fill(conn, "RPUSH list:large", 3, |n| vec![format!("{n}").repeat(20_000)]).await;
    fill(conn, "ZADD zset:infinite", 2, |n| vec![["+inf", "-inf"][n as usize].to_owned(), n.to_string()])
        .await;
    fill(conn, "SADD set:negative", 4, |n| vec![format!("-{n}9999999999")]).await;
    line(conn, "PEXPIRE list:3 100000").await;
    line(conn, "PEXPIRE hash:700 200000").await;
}

async fn streams(conn: &Conn) {
    for n in 1..=500 {
        line(conn, &format!("XADD stream {n}-1 field value{n} other {n}")).await;
    }
    line(conn, "XDEL stream 7-1 500-1").await;
    line(conn, "XGROUP CREATE stream readers 0").await;
    line(conn, "XGROUP CREATE stream idle $").await;
    line(conn, "XREADGROUP GROUP readers alice COUNT 20 STREAMS stream >").await;
    line(conn, "XREADGROUP GROUP readers bob COUNT 5 STREAMS stream >").await;
    line(conn, "XACK stream readers 1-1 2-1").await;
    line(conn, "XGROUP CREATECONSUMER stream readers carol").await;
    line(conn, "XGROUP CREATE empty:stream group $ MKSTREAM").await;
}

async fn fields(conn: &Conn) {
    for size in [1_u32, 5, 900] {
        let pair = |n: u32| vec![format!("f{n}"), format!("value {n}")];
        let names: Vec<String> = (0..size).map(|n| format!("f{n}")).collect();
        // All of them, one of them, and none any more.
        for (begin, count) in [("all", size), ("one", 1), ("kept", 1)] {
            fill(conn, &format!("HSET {begin}:{size}"), size, pair).await;
            let names = names[..count as usize].join(" ");
            line(conn, &format!("HPEXPIRE {begin}:{size} 1000000 FIELDS {count} {names}")).await;
        }
        line(conn, &format!("HPERSIST kept:{size} FIELDS 1 f0")).await;
    }
    line(conn, "HSET both f v").await;
    line(conn, "HPEXPIRE both 1000000 FIELDS 1 f").await;
    line(conn, "PEXPIRE both 2000000").await;
}
