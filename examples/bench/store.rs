//! (f) Payments recorded a second, beside bare inserts of as many rows.

use crate::figures::Figures;
use crate::world::World;

const PAYMENTS: usize = 20_000;

pub async fn measure(world: &World, figures: &mut Figures) -> anyhow::Result<()> {
    let file = |name: &str| format!("sqlite:{}", world.folder.path().join(name).display());
    let floor = world
        .bare_number(&["insert", &file("insert.db"), &PAYMENTS.to_string()])
        .await?;
    let ours = world
        .bare_number(&["record", &file("record.db"), &PAYMENTS.to_string()])
        .await?;
    figures.add(
        "(f) payments judged and recorded, in a sweep",
        ours,
        Some(floor),
        "1/s",
        PAYMENTS,
    );
    Ok(())
}
