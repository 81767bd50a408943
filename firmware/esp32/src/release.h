/* What differs between the two releases, apart from the self-test. */
#pragma once

#if RELEASE == 1
#define VERSION "1.0.0"
#define CHANGES "first release, blinks once a second"
/* Day of the release: fixed, so that a rebuild gives the same bytes. */
#define BUILD_DATE "Nov  2 2026"
#elif RELEASE == 2
#define VERSION "2.0.0"
#define CHANGES "tests itself at start-up, hold BOOT to blink faster"
#define BUILD_DATE "Nov 16 2026"
#else
#error "compile with -DRELEASE=1 or -DRELEASE=2"
#endif
