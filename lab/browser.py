"""Chromium without a window, as browser tests and benchmarks start it."""

from __future__ import annotations

import os

CHROMIUM = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
# Pages of the browser's own for its address bar, which no window shows: made anew for each context,
# they cost twice what an empty page costs.
UNSEEN = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
# The browser heeds the last list of such features only, so Playwright's is repeated.
OF_PLAYWRIGHT = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "TcpPortRandomizationWin",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
    "msForceBrowserSignIn",
    "msEdgeUpdateLaunchServicesPreferredVersion",
)
ARGUMENTS = (
    f"--disable-features={','.join((*OF_PLAYWRIGHT, *UNSEEN))}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)
