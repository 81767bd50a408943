//! The life of a device: the virtual device's ROM and bootloader decide what boots, the emulated
//! core runs the agent, and again, until there is nothing to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use emulated::device::{Chip, Device, SelfTest, Test, Watch};
use emulated::flash::Cut;
use emulated::frame::OperationKind;
use emulated::journey::{Boot, End, Journey, Settled};
use espseal_agent::platform::Platform as _;
use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use espseal_twin::boot::{AppSlot, BootReport, BootloaderSettings};
use espseal_twin::device::VirtualDevice;
use espseal_twin::nor::NorFlash;

use crate::core::{self, Clock, RunEnd};
use crate::interrupt;
use crate::product::{FLASH_SIZE, Product};
use crate::server::Server;

/// More restarts than any life here needs.
const MAX_BOOTS: usize = 8;

/// What every life is lived with.
pub(crate) struct Workshop<'a> {
    /// The program for the core.
    pub(crate) program: &'a Path,
    pub(crate) product: &'a Product,
}

/// A device with its flash chip in a file.
pub(crate) struct Unit<'a> {
    workshop: &'a Workshop<'a>,
    file: PathBuf,
}

/// How a life is lived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) self_test: SelfTest,
    pub(crate) watch: Watch,
    pub(crate) clock: Clock,
    /// When power goes in the first run.
    pub(crate) cut: Option<Cut>,
    /// The erase that power went in: the emulated chip erases in one instant, so that the cut comes
    /// before it and the cells are torn afterwards.
    pub(crate) torn_erase: Option<TornErase>,
}

/// Where an update leads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// Number of the release, from 1.
    pub(crate) release: usize,
    /// Where it has to run.
    pub(crate) slot: AppSlot,
}

impl Goal {
    /// The first update.
    pub(crate) const RELEASE_2: Self = Self {
        release: 2,
        slot: AppSlot::Ota(1),
    };
    /// The second one, back into the slot that the factory filled.
    pub(crate) const RELEASE_3: Self = Self {
        release: 3,
        slot: AppSlot::Ota(0),
    };
}

/// An erase that stopped half way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TornErase {
    /// First byte of the sector.
    pub(crate) at: u32,
    /// What is drawn from it: each bit has its old value or is 1.
    pub(crate) seed: u32,
}

impl Plan {
    /// Nothing goes wrong and nobody looks.
    pub(crate) const QUIET: Self = Self {
        self_test: SelfTest::Passes,
        watch: Watch::Nothing,
        clock: Clock::Free,
        cut: None,
        torn_erase: None,
    };
}

/// What happened from switching on to the first poll that leads nowhere.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// What the firmware did between restarts; `None` where power went.
    pub(crate) journeys: Vec<Option<Journey>>,
    /// The flash before each boot.
    pub(crate) flash: Vec<Vec<u8>>,
    /// Flash operations of each run, if they were watched.
    pub(crate) operations: Vec<Vec<(OperationKind, u32)>>,
    /// How often each chunk was fetched.
    pub(crate) fetched: BTreeMap<u32, u32>,
    /// Reports that the server took.
    pub(crate) reports: u32,
}

impl Life {
    /// How it ended.
    pub(crate) fn end(&self) -> Option<End> {
        self.journeys.last().copied().flatten().map(|last| last.end)
    }

    /// Chunks that were fetched more than once; chunk 0 comes twice in every run by design.
    pub(crate) fn fetched_again(&self) -> u32 {
        self.fetched
            .iter()
            .filter(|(chunk, _)| **chunk > 0)
            .map(|(_, times)| times.saturating_sub(1))
            .sum()
    }

    /// How often chunk 0 was fetched.
    pub(crate) fn head_fetched(&self) -> u32 {
        self.fetched.get(&0).copied().unwrap_or(0)
    }

    /// What the restarts were, where the firmware lived to tell.
    pub(crate) fn boots(&self) -> Vec<Boot> {
        let told = self.journeys.iter().flatten();
        told.map(|journey| journey.boot).collect()
    }
}

impl TornErase {
    fn apply(self, cells: &mut [u8]) -> Result<()> {
        let start = usize::try_from(self.at)?;
        let sector = start..start.saturating_add(SECTOR_SIZE);
        let sector = cells.get_mut(sector).context("the chip ends before")?;
        let mut state = self.seed | 1;
        for cell in sector {
            // Marsaglia's xorshift: tears that can be repeated, no cryptography.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let [erased, ..] = state.to_be_bytes();
            *cell |= erased;
        }
        Ok(())
    }
}

impl<'a> Unit<'a> {
    /// Puts a chip with these contents on a board of its own.
    pub(crate) fn new(workshop: &'a Workshop<'a>, file: PathBuf, flash: &[u8]) -> Result<Self> {
        core::write_chip(&file, flash)?;
        Ok(Self { workshop, file })
    }

    /// Restarts and runs until a poll leads nowhere.
    pub(crate) fn live(&self, plan: Plan, server: &Server) -> Result<Life> {
        let mut life = Life::default();
        let mut cut = plan.cut;
        while life.journeys.len() < MAX_BOOTS {
            interrupt::check()?;
            life.flash.push(self.contents()?);
            let chip = self.power_on()?;
            let test = Test {
                self_test: plan.self_test,
                watch: plan.watch,
                cut: cut.take(),
            };
            let struck = test.cut.is_some();
            let device = self.device(chip, test)?;
            let (program, connection) = (self.workshop.program, server.connect()?);
            let run = core::run(program, &self.file, plan.clock, &device, connection)?;
            for (chunk, times) in run.fetched {
                *life.fetched.entry(chunk).or_default() += times;
            }
            life.operations.push(run.operations);
            life.reports += run.reports;
            match run.end {
                RunEnd::Cut => {
                    ensure!(struck, "power went unasked");
                    if let Some(torn) = plan.torn_erase {
                        self.tear(torn)?;
                    }
                    life.journeys.push(None);
                }
                RunEnd::Done(journey) => {
                    ensure!(!struck, "the cut never struck: {journey:?}");
                    life.journeys.push(Some(journey));
                    if !matches!(journey.end, End::Restart | End::SelfTestFailed) {
                        return Ok(life);
                    }
                }
            }
        }
        bail!(
            "still restarting after {MAX_BOOTS} boots: {:?}",
            life.journeys
        )
    }

    /// Lets the bootloader decide, on the cells as they are, and leaves behind what it writes.
    fn power_on(&self) -> Result<Chip> {
        let (mut device, report) = self.judge()?;
        let Some(ports) = device.ports() else {
            bail!("nothing boots: {:?}\n{}", report.outcome, report.log);
        };
        let chip = Chip {
            running: ports.platform.running_slot(),
            digests: ports.platform.secure_boot_digests(),
            secure_version: ports.platform.secure_version(),
        };
        core::write_chip(&self.file, device.flash().contents())?;
        Ok(chip)
    }

    /// Leaves a sector half erased.
    fn tear(&self, torn: TornErase) -> Result<()> {
        let mut cells = self.contents()?;
        torn.apply(&mut cells)?;
        core::write_chip(&self.file, &cells)
    }

    /// Boots a virtual device with a copy of the cells.
    pub(crate) fn judge(&self) -> Result<(VirtualDevice, BootReport)> {
        self.judge_cells(self.contents()?)
    }

    /// Boots a virtual device whose factory image is spoiled: what runs then is something that the
    /// agent wrote.
    pub(crate) fn judge_without_factory_image(&self) -> Result<BootReport> {
        let mut cells = self.contents()?;
        let start = usize::try_from(self.workshop.product.factory_slot()?.get())?;
        let image = cells
            .get_mut(start..)
            .context("the chip has a first slot")?;
        image.iter_mut().take(0x1_0000).for_each(|cell| *cell = 0);
        Ok(self.judge_cells(cells)?.1)
    }

    fn judge_cells(&self, cells: Vec<u8>) -> Result<(VirtualDevice, BootReport)> {
        let flash = NorFlash::from_bytes(cells)?;
        let efuses = self.workshop.product.efuses.clone();
        let mut device = VirtualDevice::new(flash, efuses, BootloaderSettings::default());
        let report = device.power_on();
        Ok((device, report))
    }

    /// Demands that the bootloader starts this release, byte for byte, from this slot.
    pub(crate) fn must_run(&self, slot: AppSlot, release: &[u8]) -> Result<()> {
        let (mut device, report) = self.judge()?;
        let running = report
            .running()
            .with_context(|| format!("nothing boots: {:?}\n{}", report.outcome, report.log))?;
        ensure!(running.slot == slot, "{} runs, not {slot}", running.slot);
        let mut found = vec![0; release.len()];
        device.bus().read(running.offset, &mut found)?;
        ensure!(found == release, "{slot} does not hold the release");
        Ok(())
    }

    /// Demands that this release runs, confirmed: it survives a second restart.
    pub(crate) fn must_have_updated(&self, life: &Life, goal: Goal) -> Result<()> {
        let end = life.end();
        ensure!(
            end == Some(End::Settled(Settled::UpToDate)),
            "ended with {end:?}"
        );
        let release = self.workshop.product.releases.get(goal.release - 1);
        let release = release.context("no such release")?;
        self.must_run(goal.slot, release)?;
        // An entry that still awaits its confirmation would be aborted by this restart.
        let (device, _) = self.judge()?;
        core::write_chip(&self.file, device.flash().contents())?;
        self.must_run(goal.slot, release)
    }

    fn device(&self, chip: Chip, test: Test) -> Result<Device<'_>> {
        let product = self.workshop.product;
        Ok(Device {
            chip,
            flash_key: product.flash_key.clone(),
            device_key: product.device_key.clone(),
            firmware: product.firmware()?,
            test,
        })
    }

    fn contents(&self) -> Result<Vec<u8>> {
        core::read_chip(&self.file, FLASH_SIZE)
    }
}

/// An address in the chip, for messages.
pub(crate) fn address(at: u32) -> FlashOffset {
    FlashOffset::new(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_erase_sets_some_bits_of_its_sector_and_clears_none() {
        let mut cells = vec![0x0F; 3 * SECTOR_SIZE];
        let torn = TornErase {
            at: 0x1000,
            seed: 7,
        };
        torn.apply(&mut cells).unwrap();
        let (before, rest) = cells.split_at(SECTOR_SIZE);
        let (sector, behind) = rest.split_at(SECTOR_SIZE);
        assert!(before.iter().chain(behind).all(|cell| *cell == 0x0F));
        assert!(sector.iter().all(|cell| cell & 0x0F == 0x0F));
        assert!(sector.iter().any(|cell| *cell != 0x0F && *cell != 0xFF));
        assert!(
            TornErase {
                at: 0x3000,
                seed: 7
            }
            .apply(&mut cells)
            .is_err()
        );
    }
}
