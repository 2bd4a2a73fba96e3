package config_test

import (
	"testing"
	"time"

	"pillarbox/internal/config"
)

func TestByteSize(t *testing.T) {
	tests := []struct {
		text  string
		want  config.ByteSize
		short string
	}{
		{"0", 0, "0"}, {"1", 1, "1"}, {"512B", 512, "512"}, {"1000", 1000, "1KB"}, {"1024", 1024,
			"1KiB"}, {"1025", 1025, "1025"},
		{"1MiB", 1 << 20, "1MiB"}, {"5MB", 5_000_000, "5MB"}, {"10GiB", 10 << 30, "10GiB"}, {"10 GiB",
			10 << 30, "10GiB"},
		{"1536KiB", 1536 << 10, "1536KiB"}, {"1TB", 1e12, "1TB"}, {"2048GiB", 2 << 40,
			"2TiB"}, {"1024000", 1_024_000, "1024KB"},
		{"9223372036854775807", 1<<63 - 1, "9223372036854775807"},
	}
	for _, test := range tests {
		var got config.ByteSize
		if err := got.UnmarshalText([]byte(test.text)); err != nil || got != test.want ||
			got.String() != test.short {
			t.Errorf("%s: got %d, %s, %v", test.text, got, got, err)
		}
	}
	for _, text := range []string{"", "B", "-1", "+1", "1.5GiB", "1gib", "1G", "1 000", "0x10",
		"1_000", "9223372036854775808", "8388608TiB", "KiB"} {
		var got config.ByteSize
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %d", text, got)
		}
	}
}

func TestDuration(t *testing.T) {
	tests := []struct {
		text  string
		want  time.Duration
		short string
	}{
		{"0", 0, "0s"}, {"0s", 0, "0s"}, {"10ms", 10 * time.Millisecond, "10ms"}, {"60s", time.Minute,
			"1m"}, {"75s", 75 * time.Second, "1m15s"},
		{"1h", time.Hour, "1h"}, {"90m", 90 * time.Minute, "1h30m"}, {"14d", 336 * time.Hour,
			"14d"}, {"24h", 24 * time.Hour, "1d"},
		{"1d12h", 36 * time.Hour, "1d12h"}, {"1d1s", 24*time.Hour + time.Second, "1d1s"}, {"1h0m1s",
			time.Hour + time.Second, "1h0m1s"}, {"0d", 0, "0s"},
	}
	for _, test := range tests {
		var got config.Duration
		if err := got.UnmarshalText([]byte(test.text)); err != nil || got.Std() != test.want ||
			got.String() != test.short {
			t.Errorf("%s: got %v, %s, %v", test.text, got.Std(), got, err)
		}
	}
	for _, text := range []string{"", "d", "-1s", "1d-1s", "+1s", "1", "1.5d", "1w", "200000d", "d1h",
		"106751d24h", "1d1d"} {
		var got config.Duration
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
