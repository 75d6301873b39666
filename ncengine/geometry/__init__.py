"""Pure geometry: simplex ETF, polar factor, nearest ETF, class means, views. No modules, no state."""
