"""From trained jobs to what is served: tables, cards, cascades, refreshed catalogues, and the checks of an export."""
