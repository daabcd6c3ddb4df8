"""The stored rows of every service. `addon` records them, `report_addon` sums them up, `advice_addon` replays them."""
