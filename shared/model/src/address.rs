//! A host with an optional port, as in URLs and address maps.

/// `host`, `host:port`, `[::1]` or `[::1]:port`, without the brackets; `None` for anything else, such as a port
/// that is 0 or not a number.
pub fn split(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        None => None,
    };
    let sound = !host.is_empty() && !host.contains([' ', ',']);
    sound.then(|| (host.to_owned(), port))
}

/// The same as text, with brackets around a host that contains colons.
pub fn join(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}
