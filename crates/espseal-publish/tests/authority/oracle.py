"""Checks a repository and opens its release, from docs/protocol.md alone.

Uses cbor2 and cryptography, nothing of espseal. Commands:

    metadata REPOSITORY                          root, releases, now, manifests, bodies, pages
    agent REPOSITORY ID SCALAR PUBLIC CHIP OUT   opens the offer for CHIP as an agent
    esp-idf HEADER BODY KEY OUT                  opens header || body as esp_encrypted_img does
    ecies REPOSITORY CHIP KEYS OUT               opens each device's own file, found by its HMAC key
    hmac-keys FOLDER COUNT                       makes HMAC keys and their public keys
    certificate CA SERVER TIME                   verifies the chain for localhost and 127.0.0.1
"""

import datetime
import hashlib
import hmac
import ipaddress
import os
import pathlib
import struct
import sys

import cbor2
import cryptography.x509.verification
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap


def sha(data):
    return hashlib.sha256(data).digest()


def point(public):
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)


def verify(key, message, signature):
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    point(key).verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def canonical(data, value):
    assert cbor2.dumps(value, canonical=True) == data, "not deterministic"


def aad(role, product):
    return b"espseal/v1/" + role + b"\0" + product


def open_sign1(data, role, product, keys):
    envelope = cbor2.loads(data)
    assert envelope.tag == 18
    protected, unprotected, payload, signature = envelope.value
    header = cbor2.loads(protected)
    assert unprotected == {} and header[1] == -7 and set(header) == {1, 4}
    key = next(key for key in keys if sha(key)[:8] == header[4])
    verify(key, cbor2.dumps(["Signature1", protected, aad(role, product), payload]), signature)
    document = cbor2.loads(payload)
    canonical(payload, document)
    assert document[1] == product
    return document


def open_root(data, old):
    envelope = cbor2.loads(data)
    assert envelope.tag == 98
    protected, unprotected, payload, signatures = envelope.value
    assert protected == b"" and unprotected == {}
    root = cbor2.loads(payload)
    canonical(payload, root)
    for role in [root[5]] + ([old[5]] if old else []):
        signed = set()
        for header, _, signature in signatures:
            kid = cbor2.loads(header)[4]
            for key in role[2]:
                if sha(key)[:8] == kid:
                    message = ["Signature", b"", header, aad(b"root", root[1]), payload]
                    verify(key, cbor2.dumps(message), signature)
                    signed.add(key)
        assert len(signed) >= role[1], "below the threshold"
    assert not old or root[2] == old[2] + 1
    return root


def metadata(repository):
    root = None
    version = 1
    while (path := repository / f"root/{version}.cose").exists():
        root = open_root(path.read_bytes(), root)
        version += 1
    product = root[1]
    now = open_sign1((repository / "now.cose").read_bytes(), b"now", product, root[7][2])
    assert now[2] == root[7][3] and now[5] > now[4] and now[7] == root[2] and now[4] <= root[4]
    data = (repository / f"releases/{now[6].hex()}.cose").read_bytes()
    assert sha(data) == now[6]
    releases = open_sign1(data, b"releases", product, root[6][2])
    assert releases[2] == root[6][3] and releases[5] > now[4]
    if releases[4] is not None:
        previous = (repository / f"releases/{releases[4].hex()}.cose").read_bytes()
        assert sha(previous) == releases[4]
    manifests = {}
    for offer in releases[6]:
        data = (repository / f"manifests/{offer[3].hex()}.cbor").read_bytes()
        assert sha(data) == offer[3]
        manifest = cbor2.loads(data)
        canonical(data, manifest)
        assert manifest[1] == product and manifest[4] == offer[2] and manifest[9] > now[4]
        part = manifest[10][0]
        body = (repository / f"bodies/{part[5].hex()}.bin").read_bytes()
        pages = (repository / f"bodies/{part[5].hex()}.pages").read_bytes()
        assert len(body) == part[4] == part[2] and sha(body) == part[5]
        chunks = range(0, len(body), 4096)
        assert pages == b"".join(sha(body[at : at + 4096]) for at in chunks)
        assert part[9] == [sha(pages[at : at + 4096]) for at in range(0, len(pages), 4096)]
        manifests[offer[1], offer[2]] = manifest
    return product, releases, manifests


def labelled_extract(suite, salt, label, ikm):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def labelled_expand(suite, prk, label, info, length):
    data = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(prk, block + data + bytes([count]), "sha256")
        out, count = out + block, count + 1
    return out[:length]


def hpke_open(scalar, public, enc, ciphertext, info):
    """RFC 9180 base mode: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM."""
    private = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    shared = private.exchange(ec.ECDH(), point(enc))
    kem = b"KEM" + struct.pack(">H", 0x10)
    secret = labelled_extract(kem, b"", b"eae_prk", shared)
    secret = labelled_expand(kem, secret, b"shared_secret", enc + public, 32)
    suite = b"HPKE" + struct.pack(">HHH", 0x10, 1, 2)
    psk_id = labelled_extract(suite, b"", b"psk_id_hash", b"")
    context = b"\0" + psk_id + labelled_extract(suite, b"", b"info_hash", info)
    secret = labelled_extract(suite, secret, b"secret", b"")
    key = labelled_expand(suite, secret, b"key", context, 32)
    nonce = labelled_expand(suite, secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ciphertext, b"")


def gcm_open(key, iv, tag, body):
    decryptor = Cipher(algorithms.AES(key), modes.GCM(iv, tag)).decryptor()
    return decryptor.update(body) + decryptor.finalize()


def agent(repository, device, scalar, public, chip):
    product, releases, manifests = metadata(repository)
    offer = next(offer for offer in releases[6] if offer[2] == chip)
    part = manifests[offer[1], chip][10][0]
    epoch = releases[7][0]
    group_epoch = struct.pack(">II", epoch[1], epoch[2])
    prefix = device.hex()[: epoch[4]] or "all"
    shard = (repository / f"epochs/{epoch[1]}/{epoch[2]}/{prefix}.shard").read_bytes()
    entries = [shard[at : at + 145] for at in range(0, len(shard), 145)]
    assert entries == sorted(entries) and len(shard) % 145 == 0 and len(shard) <= 65536
    entry = next(entry for entry in entries if entry[:32] == device)
    assert sha(public) == device
    info = b"espseal/v1/epoch\0" + product + group_epoch + device
    key = hpke_open(scalar, public, entry[32:97], entry[97:], info)
    commitment = sha(b"espseal/v1/epoch-commit\0" + product + group_epoch + key)
    assert commitment == epoch[3]
    label = b"espseal/v1/kek\0" + product + group_epoch + part[5]
    kek = hmac.digest(key, label + b"\x01", "sha256")
    wrap = (repository / f"wraps/{part[5].hex()}/{epoch[1]}-{epoch[2]}.kw").read_bytes()
    content = aes_key_unwrap(kek, wrap)
    assert sha(b"espseal/v1/cek-commit\0" + part[5] + content) == part[8]
    body = (repository / f"bodies/{part[5].hex()}.bin").read_bytes()
    image = gcm_open(content, part[6], part[7], body)
    assert sha(image) == part[3]
    return image


def esp_idf(header, body, key):
    """512 bytes: magic, wrapped key [4..388], IV [388..404], size [404..408], tag [408..424]."""
    assert len(header) == 512 and header[:4] == bytes.fromhex("cfb68807")
    private = serialization.load_pem_private_key(key, None)
    content = private.decrypt(header[4:388], padding.PKCS1v15())
    (size,) = struct.unpack("<I", header[404:408])
    assert size == len(body) and header[424:] == bytes(88)
    return gcm_open(content, header[388:404], header[408:424], body)


ECIES_SALT = bytes.fromhex("0e2160642dae76d33448e43d7720123d9f3b1eceb88e573a4e8f7fb94ff0c869")


def ecies_key(hmac_key):
    scalar = hashlib.pbkdf2_hmac("sha256", hmac_key, ECIES_SALT, 2048)
    return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())


def public_info(key, encoding):
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def hmac_keys(folder, count):
    for number in range(count):
        hmac_key = os.urandom(32)
        (folder / f"{number}.bin").write_bytes(hmac_key)
        pem = public_info(ecies_key(hmac_key), serialization.Encoding.PEM)
        (folder / f"{number}.pem").write_bytes(pem)


def ecies_open(file, key):
    header, body = file[:512], file[512:]
    assert header[:4] == bytes.fromhex("cfb68807")
    (size,) = struct.unpack("<I", header[404:408])
    assert size == len(body) and header[100:388] == bytes(288) and header[424:] == bytes(88)
    shared = key.exchange(ec.ECDH(), point(b"\x04" + header[4:68]))
    content = HKDF(hashes.SHA256(), 32, header[68:100], b"_esp_enc_img_ecc").derive(shared)
    return gcm_open(content, header[388:404], header[408:424], body)


def ecies(repository, chip, keys, out):
    _, releases, manifests = metadata(repository)
    offer = next(offer for offer in releases[6] if offer[2] == chip)
    part = manifests[offer[1], chip][10][0]
    ephemeral, images = set(), 0
    for path in sorted(keys.glob("*.bin")):
        key = ecies_key(path.read_bytes())
        device = repository / "idf" / sha(public_info(key, serialization.Encoding.DER)).hex()
        digest = (device / f"{part[5].hex()}.link").read_bytes()
        file = (device / f"{digest.hex()}.bin").read_bytes()
        assert sha(file) == digest
        image = ecies_open(file, key)
        assert sha(image) == part[3]
        ephemeral.update([file[4:68], file[68:100], file[388:404]])
        images += 1
    assert len(ephemeral) == 3 * images, "a key, salt or IV was used twice"
    out.write_bytes(image)
    print(images, "files opened")


def certificate(ca, server, time):
    roots = x509.verification.Store(x509.load_pem_x509_certificates(ca))
    leaf = x509.load_pem_x509_certificates(server)[0]
    at = datetime.datetime.fromtimestamp(time, datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    for name in [x509.DNSName("localhost"), address]:
        policy = x509.verification.PolicyBuilder().store(roots).time(at)
        policy.build_server_verifier(name).verify(leaf, [])


def main(command, *args):
    read = lambda path: pathlib.Path(path).read_bytes()
    if command == "metadata":
        metadata(pathlib.Path(args[0]))
    elif command == "agent":
        device, scalar, public = (bytes.fromhex(text) for text in args[1:4])
        image = agent(pathlib.Path(args[0]), device, scalar, public, int(args[4]))
        pathlib.Path(args[5]).write_bytes(image)
    elif command == "esp-idf":
        image = esp_idf(*(read(path) for path in args[:3]))
        pathlib.Path(args[3]).write_bytes(image)
    elif command == "ecies":
        repository, keys, out = (pathlib.Path(args[at]) for at in (0, 2, 3))
        ecies(repository, int(args[1]), keys, out)
    elif command == "hmac-keys":
        hmac_keys(pathlib.Path(args[0]), int(args[1]))
    elif command == "certificate":
        certificate(read(args[0]), read(args[1]), int(args[2]))
    else:
        sys.exit(f"unknown command {command}")


main(*sys.argv[1:])
