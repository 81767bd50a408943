//! What a dump or an image file holds, for people.
//!
//! Nothing here decides: [`crate::boot`] decides, and a device's eFuses with it. This says what is
//! where, whether it is erased, plain or encrypted, whether it is in order, and which findings
//! contradict each other.
//!
//! * [`flash`]: bytes of a flash chip, with the key that may open them.
//! * [`image`]: one app or bootloader image.
//! * [`otadata`]: both entries, and what a bootloader makes of them.
//! * [`dump`]: the map of a whole chip.

pub mod dump;
pub mod entropy;
pub mod finding;
pub mod flash;
pub mod image;
pub mod otadata;
