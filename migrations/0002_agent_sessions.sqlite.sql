-- Holds the number until agent sessions are merged, which replace this file.
UPDATE counters SET sequence = sequence WHERE 1 = 0;
