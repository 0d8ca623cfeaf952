// Package journey holds the tests that go through the product as people do: a seller and his customer, each with a browser (Debian's
// chromium, headless), against the whole system with the sandbox in Stripe's place.
//
// It has no code of its own: the files are tests. A test fails on whatever a browser complains of (an error on the console, a breach
// of the content security policy) and on a request to any other machine. Where JOURNEY_SCREENSHOTS names a folder, what was seen is left
// there, at 360 and 1440 pixels, light and dark.
package journey
