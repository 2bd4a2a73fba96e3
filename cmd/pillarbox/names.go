package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
)

// tellOfNames says of a source and a destination that were asked for in vain whether there are
// such, and which may be meant: a misspelled name would look like an empty list. Either may be
// empty. What can't be found out is not said: the list was answered.
func tellOfNames(ctx context.Context, client *adminclient.Client, talk io.Writer, source,
	destination string) {
	if source == "" && destination == "" {
		return
	}
	names, err := namesOf(ctx, client)
	if err != nil {
		return
	}
	if destination != "" && !slices.Contains(names.destinations, destination) &&
		!slices.Contains(names.unconfigured, destination) {
		tellOfName(talk, "destination", destination, "", names.destinations)
	}
	if source != "" && !slices.Contains(names.sources, source) &&
		!storedOf(ctx, client, source, names.destinations) {
		tellOfName(talk, "source", source, ", and no event of it is stored", names.sources)
	}
}

// names are those that a server has.
type names struct {
	sources, destinations, unconfigured []string // sorted
}

func namesOf(ctx context.Context, client *adminclient.Client) (found names, err error) {
	status, err := client.Status(ctx)
	if err != nil {
		return names{}, err
	}
	for _, s := range status.Sources {
		found.sources = append(found.sources, s.Source)
	}
	for _, d := range status.Destinations {
		found.destinations = append(found.destinations, d.Destination)
	}
	for _, gone := range status.Unconfigured {
		found.unconfigured = append(found.unconfigured, gone.Destination)
	}
	slices.Sort(found.sources)
	slices.Sort(found.destinations)
	return found, nil
}

// tellOfName says that nothing has the name.
func tellOfName(talk io.Writer, what, name, also string, known []string) {
	fmt.Fprintf(talk, "no %s %q is configured%s%s (configured: %s)\n", what, name, also,
		meant(name, known), strings.Join(known, ", "))
}

// noSuchDestination adds to an error about a destination that is not there which one may be meant.
// What there is it says too, unless the error itself does.
func noSuchDestination(ctx context.Context, client *adminclient.Client, destination string,
	err error) error {
	if destination == "" || !errors.Is(err, pillarbox.ErrNotFound) {
		return err
	}
	names, failed := namesOf(ctx, client)
	if failed != nil || slices.Contains(names.destinations, destination) {
		return err
	}
	configured := strings.Join(names.destinations, ", ")
	err = fmt.Errorf("%w%s", err, meant(destination, names.destinations))
	if strings.Contains(err.Error(), "configured are "+configured) {
		return err
	}
	return fmt.Errorf("%w (configured: %s)", err, configured)
}

// storedOf reports whether a destination has an event of the source, which may have had another
// name before. What can't be asked may have one.
func storedOf(ctx context.Context, client *adminclient.Client, source string,
	destinations []string) bool {
	for _, destination := range destinations {
		page, err := client.Events(ctx,
			adminapi.EventQuery{Destination: destination, Source: source, Limit: 1})
		if err != nil || len(page.Events) > 0 {
			return true
		}
	}
	return false
}
