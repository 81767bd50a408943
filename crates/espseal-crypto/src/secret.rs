//! The two habits of this crate as macros: secrets print redacted, failures are unit structs.

/// Implements `Debug` for a secret so that it can never reach a log.
macro_rules! redacted_debug {
    ($name:ident) => {
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

/// Declares a failure that carries nothing an attacker could learn from.
macro_rules! failure {
    ($(#[$doc:meta])* $name:ident, $message:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str($message)
            }
        }

        impl core::error::Error for $name {}
    };
}

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    use crate::content::ContentKey;
    use crate::device_key::SoftwareDeviceKey;
    use crate::ecies::{DeviceKey, EphemeralKey, HmacKey};
    use crate::epoch::{DevicePrivateKey, EpochKey, Kek};
    use crate::es256::SigningKey;
    use crate::flash_key::{EfuseKey, FlashKey};
    use crate::nvs_encryption::NvsKeys;

    /// Does not compile for a type that has `Clone`: the `_` would be ambiguous.
    macro_rules! has_no_clone {
        ($($secret:ty),*) => {$({
            trait Ambiguous<T> {
                fn here() {}
            }
            impl<T> Ambiguous<()> for T {}
            struct WithClone;
            impl<T: Clone> Ambiguous<WithClone> for T {}
            <$secret as Ambiguous<_>>::here();
        })*};
    }

    #[test]
    fn secrets_cannot_be_cloned() {
        has_no_clone!(ContentKey, EpochKey, Kek, FlashKey, EfuseKey);
        has_no_clone!(SigningKey, DevicePrivateKey, SoftwareDeviceKey, NvsKeys);
        has_no_clone!(HmacKey, DeviceKey, EphemeralKey);
    }

    #[test]
    fn secrets_are_wiped_when_dropped() {
        fn wiped<T: ZeroizeOnDrop>() {}
        wiped::<ContentKey>();
        wiped::<EpochKey>();
        wiped::<Kek>();
        wiped::<FlashKey>();
        wiped::<EfuseKey>();
        wiped::<NvsKeys>();
        wiped::<HmacKey>();
        wiped::<EphemeralKey>();
        // What the other secrets are made of.
        wiped::<crate::nist_p256::SecretScalar>();
        wiped::<aes::Aes256>();
    }
}
