//! Secure-boot keys for tests, made with `openssl genrsa 3072`; they protect nothing.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U3072};
use espseal_crypto::secure_boot::{self, RSA_LEN, RsaPublicKey};
use espseal_format::signature_block::{RsaParts, RsaSignatureBlock};
use espseal_format::units::Digest;

/// A private RSA-3072 key: modulus and private exponent, hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RsaKey {
    modulus: &'static str,
    exponent: &'static str,
}

impl RsaKey {
    /// Signs an image digest, as `espsecure sign-data --version 2` does.
    pub(crate) fn sign(self, image: &Digest) -> RsaSignatureBlock {
        let modulus = U3072::from_be_hex(self.modulus);
        let params = FixedMontyParams::new_vartime(Odd::new(modulus).unwrap());
        let encoded = secure_boot::emsa_pss_encode(image, &[0x5A; 32]);
        let message = FixedMontyForm::new(&U3072::from_be_slice(&encoded), &params);
        let signature = message.pow(&U3072::from_be_hex(self.exponent)).retrieve();
        secure_boot::build_block(&self.public(), image, &be_bytes(&signature)).unwrap()
    }

    /// What eFuses hold of the public key.
    pub(crate) fn digest(self) -> Digest {
        let key = self.public();
        let reversed = |mut number: [u8; RSA_LEN]| {
            number.reverse();
            number
        };
        let parts = RsaParts {
            image_digest: Digest([0; 32]),
            n: reversed(key.modulus()),
            e: key.exponent(),
            r: reversed(key.montgomery_r()),
            m_prime: key.m_prime(),
            signature: [0; RSA_LEN],
        };
        RsaSignatureBlock::new(&parts).key_digest()
    }

    fn public(self) -> RsaPublicKey {
        RsaPublicKey::new(&be_bytes(&U3072::from_be_hex(self.modulus)), 65537).unwrap()
    }
}

fn be_bytes(number: &U3072) -> [u8; RSA_LEN] {
    number.to_be_bytes().as_ref().try_into().unwrap()
}

/// The key burnt in eFuse.
pub(crate) const OWN: RsaKey = RsaKey {
    modulus: "9d79d35e65e808f4ca8f49a58dd3691aec6e6afb00423d8f64188c9a2bcafd0cb60c1b2852dddf808d886bb9\
     611099895d69e521ff038ee194cb3dc2c7d1504e1ed2b973b4fbc741e604b34dd2a6e40b578dfd6e2eb5e190\
     6b0dc19e912db3037f7f104add058afa20f71574366c7d25309110d85e3b3f56746921cec3f5b287338cdfba\
     e6b9baf250900320e7d64fc84134938b8371cf258a37c36d7ee024b6e6e1d6b211b3c12311bb62728cf93bdd\
     9d887955ff01e884d6a3c999b9ec7108e9afd55bae681ac596aae9d5c732364929f3d23ed9fd7100d3004918\
     e35fea2f3d49faba504066958701f1477be1b6f1769140626b80ae014018cfd6ac9e598cee8975bb4f9f98e0\
     f204971f92b7eb2bb933c1f5bc2c5a014f93f7a3e792da374cb4db6212eae49272984e99a92c3dfea4c78a50\
     49370b96617cc3ba532707aeda64c854ed9021301edbea37cd89a47bd1b093d9007a82beaad4b398fe4d9788\
     288b4a9fe07094a86288e323150591ce5de2222b5c7691a49deac159dc94715d",
    exponent: "08476edee021ae52dc5163305280025f197e069ed29928ee60774ff10d0b5b796f1abcd4c66286cd15e3cdb2\
     0dd1d7189b32258b3f827ae10e370f34add7a9cea99d2f85cf468b67c2058e3db1acf78147259e64cc0ce0e2\
     7c56594f1257e238f55b834a444b75ce87ac25d319c7635ef0aa37c600524216b40110f77362f7f356b8f9cc\
     343420897bc5ce7c4ce3fe06cbb2cd6d00c89b78e046e53ddcf540c8e2e38dab87f5b8da34a4f2dc8ddfce8f\
     6ca84fa4bf46e4e812f6c273140cc3b67ca1ce2adb13912fef212fa703e1b4b94ed732ce7ca08c6b8d928a13\
     a341a3e65e7f6ef1368128a1517507e58c4287514a78423876317e5162d5452c19b6c3c4aa241226755c093c\
     4b7061307afc5edf36787f3230cd32cb059f533de2c75ac99f977608db54961e098f3fd74721ba375457e394\
     9dfb5c03c3829eece0033893b7ca80d9f18d93e841bc7622f90ce3b1084739f4a46330b8bc2009ba84c3fcd0\
     750697c3e2c074756f4eeb00d99ccd29ac4af37b7130fee69142056aff96166b",
};

/// A key nobody trusts.
pub(crate) const FOREIGN: RsaKey = RsaKey {
    modulus: "cf057ab8a2912dc18a7297c15a244766ac7d8c581325ff958c65d795cccafbd122b041c4b639f288e5bfc71e\
     8810b448283644bcb59db4170b78aad03178b11f7b0238c13914bf0445699675ea327f16ed8a2ed3733e24f0\
     5a147566e3317e1818cd7e4444eb80cb133d303f9eb77bb11f9cdb06213d2cac3a2bc6e5c540e693efccbb4a\
     b84bbdaa77ae61e5bfbc3b96463ce920e01dc460601fbe6c185250b61a2ef0cbaa0b262c79508c9b9412d0c7\
     c6697a0ebd76221f29b0206e77773f61b2823601e3232fef603f0e8f0519fec6bf3832f668c38bd4694c5106\
     7d471f26576a5e905da7788132791b6f6b6bd41f8f2e3d464195a304d5daf5f4e11a6953afd0a3401378191c\
     ac00f1f0f35b709ea43266085e10135e224b50bde18f73cceddde7baeb7b08e792fd6020644ac92c13633cf5\
     61b68b451244243999613b8e8bd4de6d6e2ab2e9b66864e99809454a65512b2ce8de123080411eddbf8a73e9\
     8c5b2be2cbdf4d37cbad36abe31ba3169114d4e9cde989d20c55bd0a3efeb4b7",
    exponent: "200164dbaea66b4084bafaa335e06df97da95b4d3288a95ee179cd3ea78eaa27c70920e1dc9a50d8c14c48e8\
     7b78b9a67e3105a7771c8e7f1192f23585b07711badeb90f8657a2c0724ac4ac2e2ce8610f1051f4f6d820b5\
     d7f759bf3258b079e13bc3cda22a169b4eba22ff72f642f53b41f0ca9dd0eb5b25132788d65a164bc0c31221\
     97247e8a203ea17bf78c8e59c93a1980afa56a7acbe19c7af1b7a82abf198ab8b1ed4f5588dbdf211e5f5a4f\
     c868fe29d138b645c3182bab6864d3336c3047c4c46005bebe52af933eeaf7b537e3a26710e586225f8874d1\
     2bfafe487d87e490676e8dd739e2a440853c6fac0fdabc5bbcc7a865803d86ea1dd9b6426478f0cd6d410c56\
     32d8058a238ae03ad9e27166add34efa6a3a687a76161f787e7b89483872dcce55f19f2fef95811eb2b4ff34\
     910fba5a388c7286a6b0bda806a3359bcb5054fc519abb0bcd3141cd4cd4cfd244c435fa258dd6c82e47e80a\
     e882e2d51da782b3573c3dc3e75a702ddb18d936f11c382da008ca1fbf92a1a1",
};
