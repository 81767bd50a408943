//! The server's request handling, with everything behind it.

use std::cell::OnceCell;
use std::time::SystemTime;

use espseal_format::repository::Resource;
use espseal_server::clock::Clock;
use espseal_server::handler::{Answer, Handler};

use crate::input::Input;
use crate::seeds;

/// A server over a repository that the proofs' maker published, with one agent and one ESP-IDF device.
struct Bench {
    handler: Handler,
    folder: tempfile::TempDir,
}

thread_local! {
    static BENCH: OnceCell<Bench> = const { OnceCell::new() };
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let repository = folder.path().join("repository");
        for (path, bytes) in seeds::repository() {
            let path = repository.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, bytes).expect("a file");
        }
        let database = folder.path().join("reports.db");
        let clock = Clock::default();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let today = since.map_or(0, |since| since.as_secs());
        clock.jump(seeds::time() as i64 - today as i64);
        let handler = Handler::open(&repository, &database, clock).expect("a server");
        Self { handler, folder }
    }

    /// What the repository has under a path, if the path is one.
    fn file(&self, path: &str) -> Option<Vec<u8>> {
        Resource::parse(path)?;
        std::fs::read(self.folder.path().join("repository").join(path)).ok()
    }
}

/// Method, path (one that exists, or any), headers and body; the answer is one HTTP allows, holds
/// bytes of that file and no other, and is never a fault of the server's.
pub(crate) fn server(data: &[u8]) {
    BENCH.with(|bench| {
        let bench = bench.get_or_init(Bench::new);
        let mut input = Input(data);
        let shape = input.byte();
        let method = match shape & 7 {
            0..=2 => b"GET".as_slice(),
            3 => b"HEAD",
            4 | 5 => b"POST",
            6 => b"PUT",
            _ => input.text(),
        };
        let known = seeds::paths();
        let target = match shape >> 3 & 3 {
            0 => input.text().to_vec(),
            1 => [b"/".as_slice(), input.text()].concat(),
            _ => known[usize::from(input.byte()) % known.len()]
                .clone()
                .into_bytes(),
        };
        let mut headers = Vec::new();
        for _ in 0..shape >> 5 {
            let name: &[u8] = match input.byte() & 7 {
                0..=2 => b"range",
                3 => b"if-none-match",
                4 => b"if-range",
                5 => b"host",
                6 => b"content-length",
                _ => input.text(),
            };
            headers.push((name, input.text()));
        }
        let body = input.0;
        let Some(answer) = bench.handler.answer(method, &target, &headers, body) else {
            return;
        };
        judge(bench, method, &target, &answer);
    });
}

fn judge(bench: &Bench, method: &[u8], target: &[u8], answer: &Answer) {
    let header = |name: &str| Some(answer.headers.get(name)?.to_str().expect("it is text"));
    let length = answer.body.len();
    match answer.status {
        200 | 204 | 206 | 302 | 304 | 400 | 403 | 404 | 405 | 408 | 409 | 413 | 416 => {}
        status => panic!("{status} for {}", String::from_utf8_lossy(target)),
    }
    if method == b"HEAD" {
        assert_eq!(length, 0, "HEAD has a body");
    }
    if answer.status == 302 {
        let location = header("location").expect("a redirect goes somewhere");
        assert!(
            location.starts_with("https://") && location.len() < 512,
            "{location}"
        );
    }
    if method != b"GET" {
        return;
    }
    if let Some(told) = header("content-length") {
        assert_eq!(told.parse(), Ok(length), "content-length lies");
    }
    let target = String::from_utf8_lossy(target);
    let path = target
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .trim_start_matches('/');
    let Some(file) = bench.file(path) else {
        return;
    };
    match answer.status {
        200 => assert_eq!(answer.body, file),
        206 => {
            let range = header("content-range").expect("206 says which part");
            let (part, total) = range
                .strip_prefix("bytes ")
                .unwrap()
                .split_once('/')
                .unwrap();
            let (first, last) = part.split_once('-').unwrap();
            assert_eq!(total.parse(), Ok(file.len()));
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            assert_eq!(answer.body, file[first..=last]);
        }
        _ => {}
    }
}
