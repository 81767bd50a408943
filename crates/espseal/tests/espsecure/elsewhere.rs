//! `sign-data --pub-key ... --signature ...`: signatures that were made elsewhere.

use crate::bench::{Bench, OUT, SCHEMES, data};

/// Signs `argv[1]` with each key as an HSM would: RSA raw, ECDSA in DER, and `r || s` for version 1.
const SIGN: &str = "
import sys
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import load_pem_private_key
data = open(sys.argv[1], 'rb').read()
for name in sys.argv[2:]:
    key = load_pem_private_key(open(name + '.pem', 'rb').read(), None)
    def write(suffix, signature):
        open(name + suffix, 'wb').write(signature)
    if name.startswith('rsa'):
        write('.sig', key.sign(data, padding.PSS(padding.MGF1(SHA256()), 32), SHA256()))
        write('.salt20', key.sign(data, padding.PSS(padding.MGF1(SHA256()), 20), SHA256()))
    else:
        hash, other = (SHA384(), SHA256()) if '384' in name else (SHA256(), SHA384())
        signature = key.sign(data, ec.ECDSA(hash))
        write('.sig', signature)
        write('.salt20', key.sign(data, ec.ECDSA(other)))
        length = key.curve.key_size // 8
        r, s = decode_dss_signature(signature)
        write('.raw', r.to_bytes(length, 'big') + s.to_bytes(length, 'big'))
";

fn sign_elsewhere(bench: &Bench, file: &str) {
    let mut python = oracles::python();
    python.current_dir(bench.path("."));
    oracles::run(python.args(["-c", SIGN, file]).args(SCHEMES));
}

#[test]
fn signatures_made_elsewhere_give_the_same_file_for_version_2() {
    let mut bench = Bench::new();
    bench.write("data", &data(8192, 1));
    sign_elsewhere(&bench, "data");
    for scheme in SCHEMES {
        let (public, private) = (format!("{scheme}-public.pem"), format!("{scheme}.pem"));
        let signature = format!("{scheme}.sig");
        for key in [&public, &private] {
            let sign = [
                "sign-data",
                "-v",
                "2",
                "--pub-key",
                key,
                "--signature",
                &signature,
                "-o",
                OUT,
                "data",
            ];
            let signed = bench.same(&sign);
            bench.write("signed", &signed);
            bench.accepted(&["verify-signature", "-v", "2", "-k", &public, "signed"]);
            // A private key beside it is not used.
            bench.same(&[&sign[..], &["-k", "ecdsa256-other.pem"]].concat());
        }
        for second in SCHEMES {
            let both = [format!("{second}-public.pem"), format!("{second}.sig")];
            bench.same(&[
                "sign-data",
                "-v",
                "2",
                "--pub-key",
                &public,
                &both[0],
                "--signature",
                &signature,
                &both[1],
                "-o",
                OUT,
                "data",
            ]);
            bench.write("signed", &bench.read("ours.out"));
            let append = [
                "sign-data",
                "-v",
                "2",
                "-a",
                "--pub-key",
                &both[0],
                "--signature",
                &both[1],
                "-o",
                OUT,
                "signed",
            ];
            bench.same(&append);
            if second != scheme {
                bench.refused(&[
                    "sign-data",
                    "-v",
                    "2",
                    "--pub-key",
                    &public,
                    "--signature",
                    &both[1],
                    "-o",
                    OUT,
                    "data",
                ]);
            }
        }
    }
}

#[test]
fn signatures_that_do_not_fit_key_data_or_count_are_refused() {
    let mut bench = Bench::new();
    bench.write("data", &data(8192, 1));
    bench.write("other", &data(8192, 2));
    bench.write("short", &data(5000, 2));
    bench.write("empty", b"");
    sign_elsewhere(&bench, "data");
    for scheme in SCHEMES {
        let public = format!("{scheme}-public.pem");
        let [good, salt, raw] = ["sig", "salt20", "raw"].map(|kind| format!("{scheme}.{kind}"));
        let mut signature = bench.read(&good);
        bench.write("cut", &signature[..signature.len() - 1]);
        bench.write("long", &[&signature[..], &[0]].concat());
        let last = signature.len() - 1;
        signature[last] ^= 1;
        bench.write("flipped", &signature);
        for wrong in [
            &salt, &raw, "cut", "long", "flipped", "empty", "missing", &public,
        ] {
            bench.refused(&[
                "sign-data",
                "-v",
                "2",
                "--pub-key",
                &public,
                "--signature",
                wrong,
                "-o",
                OUT,
                "data",
            ]);
        }
        for wrong in ["other", "short", "empty"] {
            bench.refused(&[
                "sign-data",
                "-v",
                "2",
                "--pub-key",
                &public,
                "--signature",
                &good,
                "-o",
                OUT,
                wrong,
            ]);
        }
        let other = match scheme {
            "rsa3072" => "rsa3072-other.pem".into(),
            _ => format!("{scheme}-other.pem"),
        };
        bench.refused(&[
            "sign-data",
            "-v",
            "2",
            "--pub-key",
            &other,
            "--signature",
            &good,
            "-o",
            OUT,
            "data",
        ]);
        bench.refused(&[
            "sign-data",
            "-v",
            "2",
            "--pub-key",
            &public,
            &public,
            "--signature",
            &good,
            "-o",
            OUT,
            "data",
        ]);
        bench.refused(&[
            "sign-data",
            "-v",
            "2",
            "--pub-key",
            &public,
            "--signature",
            &good,
            &good,
            "-o",
            OUT,
            "data",
        ]);
        bench.refused(&[
            "sign-data",
            "-v",
            "2",
            "--pub-key",
            &public,
            "-o",
            OUT,
            "data",
        ]);
        bench.refused(&[
            "sign-data",
            "-v",
            "2",
            "--signature",
            &good,
            "-o",
            OUT,
            "data",
        ]);
        bench.refused(&[
            "sign-data",
            "-v",
            "2",
            "--skip-padding",
            "--pub-key",
            &public,
            "--signature",
            &good,
            "-o",
            OUT,
            "short",
        ]);
    }
}

#[test]
fn signatures_made_elsewhere_give_the_same_file_for_version_1() {
    let mut bench = Bench::new();
    bench.write("data", &data(5000, 1));
    sign_elsewhere(&bench, "data");
    let sign = |key, signature| {
        [
            "sign-data",
            "-v",
            "1",
            "--pub-key",
            key,
            "--signature",
            signature,
            "-o",
            OUT,
            "data",
        ]
    };
    bench.same(&sign("ecdsa256-public.pem", "ecdsa256.raw"));
    for (key, signature) in [
        ("ecdsa256-public.pem", "ecdsa256.sig"),
        ("ecdsa256-other.pem", "ecdsa256.raw"),
        ("ecdsa256-public.pem", "ecdsa384.raw"),
        ("ecdsa384-public.pem", "ecdsa384.raw"),
        ("rsa3072-public.pem", "ecdsa256.raw"),
        ("rsa3072-public.pem", "rsa3072.sig"),
    ] {
        bench.refused(&sign(key, signature));
    }
    bench.refused(&[
        "sign-data",
        "-v",
        "1",
        "--signature",
        "ecdsa256.raw",
        "-o",
        OUT,
        "data",
    ]);
}
