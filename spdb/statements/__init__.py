"""What is said to the database: functions of (connection, facts), each a step of one transaction. No clock here."""
