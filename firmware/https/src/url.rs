//! The repository's base address: `https://host[:port]/[path/]`.

/// Where the repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseUrl<'a> {
    /// Name of the host, as its certificate has to name it.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// Host and port as written: what the `Host` header says.
    pub authority: &'a str,
    /// Path, beginning and ending with a slash.
    pub path: &'a str,
}

impl<'a> BaseUrl<'a> {
    /// Reads an address; `None` for any that is not `https://`, has no host or does not end with `/`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("https://")?;
        let slash = rest.find('/')?;
        let (authority, path) = rest.split_at_checked(slash)?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, 443),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        let sound = !host.is_empty() && host.bytes().all(plain) && path.ends_with('/');
        (sound && path.bytes().all(|byte| byte.is_ascii_graphic())).then_some(Self {
            host,
            port,
            authority,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_port_and_path_are_found() {
        let url = BaseUrl::parse("https://ota.example.com:8443/lamp/").unwrap();
        assert_eq!(
            (url.host, url.port, url.path),
            ("ota.example.com", 8443, "/lamp/")
        );
        assert_eq!(url.authority, "ota.example.com:8443");
        assert_eq!(
            BaseUrl::parse("https://localhost/").map(|url| url.port),
            Some(443)
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "http://a/",
            "https://a",
            "https:///",
            "https://a:b/",
            "https://a/b",
            "https://a b/",
            "https://a/\r\n/",
            "https://u@a/",
        ] {
            assert_eq!(BaseUrl::parse(text), None, "{text}");
        }
    }
}
