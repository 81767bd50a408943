//! A logged-in session, and the objects in its token.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use espseal_crypto::secure_boot::PublicKey;

use super::{HsmConfig, HsmError};
use crate::secure_boot_key::{ecdsa_from_token, rsa_from_numbers};

/// A session with a token.
pub(super) struct Token {
    module: Pkcs11,
    slot: Slot,
    session: Session,
}

/// Reads the public key that a configuration names.
///
/// # Errors
/// As [`super::HsmKey::open`]; the private key need not be there.
pub fn read_public_key(config: &HsmConfig) -> Result<PublicKey, HsmError> {
    Token::open(config)?.public_key(&config.label_pubkey)
}

/// Names the step at which a token fails.
fn failed(step: &'static str) -> impl FnOnce(Error) -> HsmError {
    move |cause| HsmError::Token { step, cause }
}

impl Token {
    /// Loads the module, finds the slot and logs in.
    pub(super) fn open(config: &HsmConfig) -> Result<Self, HsmError> {
        let module = Pkcs11::new(&config.module).map_err(|cause| HsmError::Module {
            module: config.module.clone(),
            cause,
        })?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Once a process: another key of this run is in the same module.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(cause) => return Err(failed("start the PKCS#11 module")(cause)),
        }
        let slots = module
            .get_slots_with_initialized_token()
            .map_err(failed("list the slots"))?;
        let wanted = slots.iter().find(|slot| slot.id() == config.slot);
        let slot = *wanted.ok_or_else(|| HsmError::NoToken {
            slot: config.slot,
            found: slots.iter().map(Slot::id).collect(),
        })?;
        let session = module
            .open_ro_session(slot)
            .map_err(failed("open a session"))?;
        let pin = AuthPin::new(config.pin.read()?.as_str().into());
        match session.login(UserType::User, Some(&pin)) {
            // By another key of this run: a login is for the process.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                _,
            )) => {
                return Err(HsmError::WrongPin { slot: config.slot });
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => {
                return Err(HsmError::PinLocked { slot: config.slot });
            }
            Err(cause) => return Err(failed("log in")(cause)),
        }
        Ok(Self {
            module,
            slot,
            session,
        })
    }

    /// What the token can do.
    pub(super) fn mechanisms(&self) -> Result<Vec<MechanismType>, HsmError> {
        self.module
            .get_mechanism_list(self.slot)
            .map_err(failed("list the mechanisms"))
    }

    /// Finds the private key with this label.
    pub(super) fn private_key(&self, label: &str) -> Result<ObjectHandle, HsmError> {
        self.only(ObjectClass::PRIVATE_KEY, "private", label)
    }

    /// Reads the public key with this label.
    pub(super) fn public_key(&self, label: &str) -> Result<PublicKey, HsmError> {
        let object = self.only(ObjectClass::PUBLIC_KEY, "public", label)?;
        let read = |wanted: &[AttributeType]| {
            self.session
                .get_attributes(object, wanted)
                .map_err(failed("read the public key"))
        };
        let key = match read(&[AttributeType::KeyType])?.as_slice() {
            [Attribute::KeyType(KeyType::RSA)] => {
                match read(&[AttributeType::Modulus, AttributeType::PublicExponent])?.as_slice() {
                    [
                        Attribute::Modulus(modulus),
                        Attribute::PublicExponent(exponent),
                    ] => rsa_from_numbers(without_zeros(modulus), without_zeros(exponent))
                        .map(PublicKey::Rsa),
                    _ => None,
                }
            }
            [Attribute::KeyType(KeyType::EC)] => {
                match read(&[AttributeType::EcParams, AttributeType::EcPoint])?.as_slice() {
                    [Attribute::EcParams(parameters), Attribute::EcPoint(point)] => {
                        ecdsa_from_token(parameters, point)
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        key.ok_or_else(|| HsmError::WrongKind {
            label: label.into(),
        })
    }

    /// Keeps the session; it keeps the module.
    pub(super) fn into_session(self) -> Session {
        self.session
    }

    fn only(
        &self,
        class: ObjectClass,
        half: &'static str,
        label: &str,
    ) -> Result<ObjectHandle, HsmError> {
        let wanted = [Attribute::Class(class), Attribute::Label(label.into())];
        let found = self.session.find_objects(&wanted);
        match found.map_err(failed("look for the key"))?.as_slice() {
            [object] => Ok(*object),
            [] => Err(HsmError::NoKey {
                label: label.into(),
                half,
            }),
            several => Err(HsmError::SeveralKeys {
                label: label.into(),
                half,
                found: several.len(),
            }),
        }
    }
}

/// Some tokens write numbers with leading zeros.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
