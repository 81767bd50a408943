//! The agent, unchanged, as machine code for RV32IMC: what an app does between two restarts.
//!
//! It asks the host who it is, looks at what the restart was, tests and confirms itself where that is
//! due, polls and updates, tells the host what came of it, and restarts. The bootloader between two
//! runs is the virtual device's: this program is told which slot it is.
#![no_std]
#![no_main]

mod board;
mod host;
mod meter;
mod stack;

use core::fmt::Write as _;
use core::panic::PanicInfo;

use emulated::device::{self, Chip, Device, SelfTest, Watch};
use emulated::flash::{EncryptedFlash, Grant, Plan, Supply};
use emulated::frame::{OperationKind, Request};
use emulated::journey::{Boot, End, Journey, Stack};
use emulated::nor::{NorFault, SpiNor};
use emulated::transport::Bridge;
use espseal_agent::agent::{Agent, BootOutcome, Parts};
use espseal_agent::config::Config;
use espseal_agent::error::AgentError;
use espseal_agent::flash::Flash;
use espseal_agent::workspace::Workspace;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig, FlashKey};
use espseal_format::report::Event as ReportEvent;
use espseal_format::units::{FlashOffset, SECTOR_SIZE};

use board::{Qspi, power_off};
use host::Host;
use meter::{Meter, Outside};

/// The agent with this board's drivers.
type EmulatedAgent<'a> = Agent<
    'a,
    Outside<'a, OwnStack<EncryptedFlash<Qspi, Battery<'a>>>>,
    Outside<'a, &'a mut Bridge<Host>>,
    SoftwareDeviceKey,
    Chip,
    &'a Meter,
>;

/// A flash whose driver runs on a stack of its own.
struct OwnStack<F>(F);

impl<F: Flash> Flash for OwnStack<F> {
    type Error = F::Error;

    fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), F::Error> {
        aside(|| self.0.read(at, buffer))
    }

    fn replace_sector(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), F::Error> {
        aside(|| self.0.replace_sector(at, data))
    }

    fn erase_sector(&mut self, at: FlashOffset) -> Result<(), F::Error> {
        aside(|| self.0.erase_sector(at))
    }
}

/// Runs `work` on the second stack.
fn aside<R>(mut work: impl FnMut() -> R) -> R {
    let mut result = None;
    stack::on_second(&mut || result = Some(work()));
    match result {
        Some(result) => result,
        None => power_off(),
    }
}

/// A supply that ends the program when power goes.
struct Battery<'m> {
    plan: Plan,
    watch: Watch,
    host: Host,
    meter: &'m Meter,
}

impl Supply for Battery<'_> {
    fn grant(&mut self, kind: OperationKind, at: FlashOffset) -> Grant {
        if self.watch == Watch::Operations {
            let at = at.get();
            self.say(&Request::Operation { kind, at });
        }
        self.meter.count_operation();
        self.plan.count()
    }

    fn lose(&mut self) -> NorFault {
        self.say(&Request::Cut);
        power_off()
    }
}

impl Battery<'_> {
    fn say(&mut self, request: &Request<'_>) {
        if request.send(&mut self.host).is_err() {
            power_off();
        }
    }
}

/// Memory that the agent borrows.
static mut WORKSPACE: Workspace = Workspace::new();
/// What the host says about this device.
static mut BLOCK: [u8; device::MAX_LEN] = [0; device::MAX_LEN];

#[riscv_rt::entry]
fn main() -> ! {
    let host = Host::open();
    let mut bridge = Bridge::new(host);
    // SAFETY: `main` runs once, on one core, and nothing else names the two.
    let memory = unsafe { ((&raw mut WORKSPACE).as_mut(), (&raw mut BLOCK).as_mut()) };
    let (Some(workspace), Some(block)) = memory else {
        refuse(host, "memory at address zero");
    };
    let device = bridge.start(block).ok().and_then(Device::parse);
    let Some(device) = device else {
        refuse(host, "the host sent no device");
    };
    let meter = Meter::default();
    if device.test.watch == Watch::Instructions {
        meter.set_crypto_alone(meter::crypto_alone());
    }
    let journey = live(&device, host, &mut bridge, workspace, &meter);
    if bridge.send(&Request::End(&journey.encode())).is_err() {
        power_off();
    }
    power_off()
}

/// What the firmware does between two restarts.
#[inline(never)]
fn live(
    device: &Device<'_>,
    host: Host,
    bridge: &mut Bridge<Host>,
    workspace: &mut Workspace,
    meter: &Meter,
) -> Journey {
    let config = device.firmware.config();
    let mut agent = assemble(device, &config, host, bridge, workspace, meter);
    let mut stack = Stack {
        base: stack::in_use(),
        ..Stack::default()
    };
    stack::paint_second();
    let (boot, end) = act(&mut agent, device.test.self_test, &mut stack, meter);
    stack.flash = stack::second_in_use();
    stack.steps = meter.steps();
    Journey {
        boot,
        end,
        operations: meter.operations(),
        stack,
        instructions: meter.counted(),
    }
}

/// Puts the agent together with this board's drivers; on its own, so that what it moves around is
/// gone from the stack when the agent runs.
#[inline(never)]
fn assemble<'a>(
    device: &'a Device<'_>,
    config: &'a Config<'a>,
    host: Host,
    bridge: &'a mut Bridge<Host>,
    workspace: &'a mut Workspace,
    meter: &'a Meter,
) -> EmulatedAgent<'a> {
    let battery = Battery {
        plan: Plan::new(device.test.cut),
        watch: device.test.watch,
        host,
        meter,
    };
    let key = FlashKey::Xts128(*device.flash_key);
    let cipher = FlashCipher::new(&key, FlashCryptConfig::DEFAULT);
    let nor = SpiNor::new(Qspi::new());
    let flash = EncryptedFlash::new(nor, cipher, battery, device.firmware.flash_size);
    let Ok(key) = SoftwareDeviceKey::from_bytes(&device.device_key) else {
        refuse(host, "the device key is none");
    };
    let parts = Parts {
        flash: Outside {
            inner: OwnStack(flash),
            meter,
        },
        transport: Outside {
            inner: bridge,
            meter,
        },
        key,
        platform: device.chip,
        observer: meter,
    };
    match Agent::new(parts, config, workspace) {
        Ok(agent) => agent,
        Err(_) => refuse(host, "the agent refuses its configuration"),
    }
}

/// Boots, confirms, updates, each with a measured stack.
fn act(
    agent: &mut EmulatedAgent<'_>,
    self_test: SelfTest,
    stack: &mut Stack,
    meter: &Meter,
) -> (Boot, End) {
    let refused = |error: AgentError| End::Refused(error.code());
    let boot = measured(&mut stack.on_boot, || agent.on_boot());
    let boot = match boot {
        Ok(boot) => boot,
        Err(error) => return (Boot::Refused, refused(error)),
    };
    let seen = Boot::from(&boot);
    let event = match boot {
        BootOutcome::AwaitingConfirmation { .. } => {
            if self_test == SelfTest::Fails {
                return (seen, End::SelfTestFailed);
            }
            if let Err(error) = measured(&mut stack.confirm, || agent.confirm()) {
                return (seen, refused(error));
            }
            Some(ReportEvent::Confirmed)
        }
        BootOutcome::Confirmed { .. } => Some(ReportEvent::Confirmed),
        BootOutcome::RolledBack { .. } => Some(ReportEvent::RolledBack),
        _ => None,
    };
    // A report that does not arrive changes nothing about the update.
    if let Some(event) = event
        && let Err(error @ AgentError::Hardware(_)) =
            measured(&mut stack.report, || agent.report(event, 0))
    {
        return (seen, refused(error));
    }
    meter.begin_update();
    match measured(&mut stack.update, || agent.update()) {
        Ok(outcome) => (seen, End::from(&outcome)),
        Err(error) => (seen, refused(error)),
    }
}

/// Calls the agent and notes how deep its stack went.
fn measured<R>(
    depth: &mut u32,
    mut call: impl FnMut() -> Result<R, AgentError>,
) -> Result<R, AgentError> {
    let mut result = None;
    *depth = stack::depth_of(&mut || result = Some(call()));
    match result {
        Some(result) => result,
        None => power_off(),
    }
}

/// Tells the host why this program cannot begin.
fn refuse(mut host: Host, why: &str) -> ! {
    let _ = Request::Log(why).send(&mut host);
    power_off()
}

/// Sends text to the host, piece by piece.
struct Log(Host);

impl core::fmt::Write for Log {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        Request::Log(text)
            .send(&mut self.0)
            .map_err(|_| core::fmt::Error)
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = write!(Log(Host::open()), "{info}");
    power_off()
}

/// Called by riscv-rt on every exception: an address that no driver named, an unknown instruction.
#[unsafe(export_name = "ExceptionHandler")]
fn exception(_: &riscv_rt::TrapFrame) -> ! {
    let _ = Request::Log("an exception").send(&mut Host::open());
    power_off()
}
