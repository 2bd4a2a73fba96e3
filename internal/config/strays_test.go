package config_test

import (
	"slices"
	"testing"

	"pillarbox/internal/config"
)

// TestStraysAreWhatSetsNothing: a variable that is misspelled is told, with what may be meant.
func TestStraysAreWhatSetsNothing(t *testing.T) {
	t.Setenv("PILLARBOX_LISTN", ":9090")
	t.Setenv("PILLARBOX_QUEUE_MAXBYTES", "1GiB")
	t.Setenv("PILLARBOX_COLOUR_OF_THE_ROOF", "red")
	for _, fine := range []string{
		"PILLARBOX_LOG_LEVEL", "PILLARBOX_SERVER", "PILLARBOX_TEST_SEED", "PILLARBOX_TEST_SQS_URL", "PILLARBOX", "PILLAR_BOX",
		"PILLARBOX_SERVICE_HOST", "PILLARBOX_SERVICE_PORT", "PILLARBOX_SERVICE_PORT_HTTP", "PILLARBOX_PORT", "PILLARBOX_PORT_8080_TCP",
		"PILLARBOX_PORT_8080_TCP_PROTO", "PILLARBOX_ADMIN_SERVICE_HOST", "PILLARBOX_ADMIN_PORT_8081_TCP_ADDR",
	} {
		t.Setenv(fine, "info")
	}
	t.Setenv("PILLARBOX_MY_DATA", "x")
	cfg, err := config.Load(config.Input{Text: []byte("data: ${PILLARBOX_MY_DATA}")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"the environment variable PILLARBOX_COLOUR_OF_THE_ROOF sets nothing",
		"the environment variable PILLARBOX_LISTN sets nothing; is PILLARBOX_LISTEN meant?",
		"the environment variable PILLARBOX_QUEUE_MAXBYTES sets nothing; is PILLARBOX_QUEUE_MAX_BYTES meant?",
	}
	if got := cfg.UnknownVariables(); !slices.Equal(got, want) {
		t.Errorf("unknowns %q, want %q", got, want)
	}
}
