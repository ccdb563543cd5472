"""The report's five nets (sections 3 and 4) and its further ideas (section 6): templates, one table, a renderer."""
