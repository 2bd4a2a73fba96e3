// Package browser walks through the dashboard of a real server with a real browser, under load.
//
// It promises that every page was opened, light and dark, wide and narrow, and looked at by axe-core;
// that numbers moved, an event was found, a group of failures was counted, replayed, stopped and
// replayed to its end, and the balance closed; that two browsers saw the same, and that the keyboard
// is enough; and that what clients have sent was never more than text. walk.js does the walking. The
// screenshots are in PILLARBOX_TEST_SHOTS, where that is set.
//
// It needs what test/browser/run brings. Without it, it is skipped, and fails where CI is set.
package browser
